// EmulatedUSB
