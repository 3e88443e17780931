"""What the tap extracts: few classes, configured by a resource."""
