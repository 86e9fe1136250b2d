/// The instruments see the world as the far side of their terminals.
extension World: CellSide {}

extension DeviceClock: InstrumentClock {}
