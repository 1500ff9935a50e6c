"""What ties configurations and artifacts together."""
