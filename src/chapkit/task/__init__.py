"""Functions and commands that run themselves; nothing is here before the task registry is built."""
