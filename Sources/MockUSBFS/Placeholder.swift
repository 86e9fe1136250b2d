// The mock of usbfs.
