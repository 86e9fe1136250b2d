/// How a device shows itself; endpoint addresses differ between makers, so that a host has to read them.
package struct USBIdentity: Sendable {
  package var vendor: UInt16
  package var product: UInt16
  /// `bcdDevice`, 0x0100 for 1.00.
  package var release: UInt16 = 0x0100
  package var manufacturerName: String
  package var productName: String
  package var serial: String
  package var bulkOut: UInt8 = 0x01
  package var bulkIn: UInt8 = 0x82
  package var interruptIn: UInt8 = 0x83
  /// Of the bulk endpoints: 64 at full speed, 512 at high speed.
  package var maximumPacket = 512
  package var speed: USBSpeed = .high
  /// mA drawn from the bus; 0 for a device with a mains supply.
  package var busPower = 0

  package init(vendor: UInt16, product: UInt16, manufacturerName: String, productName: String, serial: String) {
    self.vendor = vendor
    self.product = product
    self.manufacturerName = manufacturerName
    self.productName = productName
    self.serial = serial
  }
}
