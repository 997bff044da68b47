"""What a study's jobs need before they run: memory, minutes, disk. Torch-free."""
