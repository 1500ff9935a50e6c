"""Where functions run: in the caller, in threads, on a loop of their own."""
