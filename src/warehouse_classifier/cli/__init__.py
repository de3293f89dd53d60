"""What people type: `warehouse-classifier check` and `warehouse-classifier report`."""
