/// What particular devices do wrong, and what is done about it (usbtmc.md §6). Nobody is asked about it: the table is
/// looked into when a device is opened.
package struct USBTMCQuirks: OptionSet, Hashable, Sendable {
  package let rawValue: UInt16
  package init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Declares RL1 but fails REN_CONTROL, GO_TO_LOCAL and LOCAL_LOCKOUT: they are never sent.
  package static let noRemoteControl = USBTMCQuirks(rawValue: 1 << 0)
  /// Answers only after a USB reset.
  package static let resetAtOpen = USBTMCQuirks(rawValue: 1 << 1)
  /// INITIATE_CLEAR hangs it: aborts alone have to do.
  package static let clearHangs = USBTMCQuirks(rawValue: 1 << 2)
  /// Masks bit 7 of the tag in abort requests: tags stay below 128.
  package static let tagsBelow128 = USBTMCQuirks(rawValue: 1 << 3)
  /// A second REQUEST starts the response anew: one REQUEST, then reads without headers.
  package static let requestOnce = USBTMCQuirks(rawValue: 1 << 4)
  /// The first Bulk-IN transfer may be empty; it is read once more.
  package static let firstReadMayBeEmpty = USBTMCQuirks(rawValue: 1 << 5)
  /// Writing may stop for ever: after abort and clear failed, a USB reset is the last step.
  package static let resetAfterWriteTimeout = USBTMCQuirks(rawValue: 1 << 6)

  package struct Row: Sendable {
    package var vendor: UInt16
    /// Nil: every product of that vendor.
    package var product: UInt16?
    package var quirks: USBTMCQuirks
    package var reason: String
  }

  package static let table: [Row] = [
    row(0x1AB1, 0x0588, [.noRemoteControl, .requestOnce], "Rigol DS1000: fails REN; a second REQUEST starts anew"),
    row(
      0x1AB1, 0x04CE, [.requestOnce, .firstReadMayBeEmpty, .clearHangs],
      "Rigol DS1000Z: a second REQUEST starts anew, the first read may be empty, INITIATE_CLEAR hangs it"),
    row(0x1AB1, 0x04B0, .noRemoteControl, "Rigol DS2000: fails REN"),
    row(0x1AB1, 0x04B1, .noRemoteControl, "Rigol DS4000: fails REN"),
    row(0x1AB1, 0x0515, .noRemoteControl, "Rigol MSO5000: fails REN"),
    row(0x0957, 0x0588, .noRemoteControl, "Agilent DSO1000: fails REN"),
    row(0x0B21, nil, .noRemoteControl, "Yokogawa: fails REN"),
    row(0xF4EC, nil, [.noRemoteControl, .resetAtOpen], "Siglent: fails REN; needs a USB reset when it is opened"),
    row(0x0957, 0x8B18, .resetAfterWriteTimeout, "Keysight B2900A: writing may time out for ever"),
    row(0x0957, 0xCD18, .resetAfterWriteTimeout, "Keysight B2900A: writing may time out for ever"),
    row(0xCAFE, nil, [.tagsBelow128, .noRemoteControl], "TinyUSB: masks tags with 0x7F when aborting, stalls REN"),
    row(0x1209, 0x0B10, [.tagsBelow128, .noRemoteControl], "OBH-1 is built on TinyUSB: masks tags, stalls REN"),
  ]

  private static func row(_ vendor: UInt16, _ product: UInt16?, _ quirks: USBTMCQuirks, _ reason: String) -> Row {
    Row(vendor: vendor, product: product, quirks: quirks, reason: reason)
  }

  /// What the table knows of a device; a row for the product comes before one for its vendor.
  package static func of(_ device: USBDeviceFacts) -> USBTMCQuirks {
    let rows = table.filter { $0.vendor == device.vendor && ($0.product == nil || $0.product == device.product) }
    return (rows.first { $0.product != nil } ?? rows.first)?.quirks ?? []
  }
}
