// RunControl
