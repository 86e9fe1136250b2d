// Tests of the mock of usbfs.
