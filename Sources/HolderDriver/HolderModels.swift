package import USB

/// One model that can be named in the configuration.
package struct HolderModel: Sendable {
  package let name: String
  /// True when it is a USB device and the configuration has to say which.
  package let needsUSB: Bool
  /// What any holder of the model can do; a given one may have more fitted.
  package let abilities: HolderAbilities
  package let make: @Sendable (HolderSettings, any USBBus) throws(InstrumentError) -> any Holder
}

package enum HolderModels {
  /// The one place where a model is registered.
  package static let all: [HolderModel] = [
    HolderModel(
      name: "obh-1", needsUSB: true, abilities: OpenBiasingHolder.always,
      make: { settings, bus throws(InstrumentError) in try OpenBiasingHolder.open(settings, on: bus) }),
    HolderModel(
      name: "passive", needsUSB: false, abilities: [],
      make: { settings, _ throws(InstrumentError) in PassiveHolder(settings) }),
  ]

  package static func named(_ name: String) -> HolderModel? { all.first { $0.name == name } }
}
