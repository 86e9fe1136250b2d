// The world is what the instruments measure, the device clocks are the clocks they have.
extension World: CellSide {}
extension DeviceClock: InstrumentClock {}
