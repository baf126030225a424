"""What boards are: loads target files, finds the target that fits a device, compares versions, models the core."""
