"""What runs a service: database, logs, health, system."""
