// swift-tools-version: 6.2
import PackageDescription

/// What every target of the product is held to.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
  .strictMemorySafety(),
]

/// Tests: the same language, without the strictness that `#expect` expansions cannot satisfy.
let relaxed: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

func room(_ name: String, _ below: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: below, swiftSettings: strict)
}

/// What simulated sessions spend their time in, optimised in debug builds too: thousands of them are computed in a test.
let quick = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]

let quickC: [CSetting] = [.unsafeFlags(["-O2"], .when(configuration: .debug))]

func quickRoom(_ name: String, _ below: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: below, swiftSettings: quick)
}

func program(_ name: String, _ below: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: below, swiftSettings: strict)
}

func suite(_ subject: String, _ below: [Target.Dependency]) -> Target {
  .testTarget(
    name: subject + "Tests", dependencies: below, swiftSettings: relaxed)
}

// Arrows point down: a target imports only what stands above it in this list (see ARCHITECTURE.md).
let package = Package(
  name: "insitud",
  targets: [
    // C
    .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
    .systemLibrary(name: "CYAML", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CLZ4", providers: [.apt(["liblz4-dev"])]),
    .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CCurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CLibUSB", providers: [.apt(["libusb-1.0-0-dev"])]),
    .systemLibrary(name: "CLua", providers: [.apt(["liblua5.1-0-dev"])]),
    .target(name: "CUSBFS", cSettings: [.define("_GNU_SOURCE")]),
    .target(name: "CLinux", cSettings: [.define("_GNU_SOURCE")]),
    .target(name: "CFrameRing"),
    .target(name: "CPixels", cSettings: quickC),
    .target(name: "CBitshuffle", cSettings: quickC),

    // system
    quickRoom("Quantities"),
    quickRoom("Linux", ["CLinux", "Quantities"]),
    room("Journal", ["Linux"]),
    quickRoom("JSON"),
    room("SQLite", ["CSQLite"]),
    quickRoom("ZeroMQ", ["CZeroMQ"]),
    room("YAML", ["CYAML", "Quantities"]),
    quickRoom("USB", ["CLibUSB", "Linux", "Quantities"]),
    quickRoom("DEMessaging"),
    quickRoom("Pixels", ["CPixels", "CBitshuffle", "CLZ4", "CZstd", "Linux", "Quantities"]),
    quickRoom("FrameRing", ["CFrameRing", "CLinux", "Pixels", "Linux", "Quantities"]),

    // instruments
    quickRoom("HolderDriver", ["USB", "Linux", "Quantities"]),
    quickRoom("Potentiostat", ["USB", "Linux", "Quantities"]),
    room("ControlProtocol", ["JSON", "ZeroMQ", "Linux", "Quantities"]),
    quickRoom(
      "FrameIngest",
      [
        "FrameRing", "Pixels", "DEMessaging", "ZeroMQ", "JSON", "CCurl", "CLZ4", "CLinux", "Linux", "Quantities",
      ]),

    // meaning
    room("Alignment", ["Quantities"]),
    room("BiasProtocol", ["YAML", "JSON", "Pixels", "Quantities"]),

    // runs
    room("RunStore", ["SQLite", "Alignment", "JSON", "Pixels", "CLinux", "Linux", "Quantities"]),
    room("RunExport", ["RunStore", "SQLite", "JSON", "Linux", "Quantities"]),
    room(
      "RunControl",
      [
        "HolderDriver", "Potentiostat", "FrameIngest", "FrameRing", "Pixels", "BiasProtocol", "Alignment", "RunStore",
        "ControlProtocol", "JSON", "Journal", "Linux", "Quantities", "USB", "ZeroMQ", "SQLite",
      ]),

    // beside: instruments without hardware
    quickRoom("EmulatedUSB", ["Linux", "Quantities"]),
    room("MockUSBFS", ["CUSBFS", "CLinux", "EmulatedUSB", "Linux", "Quantities"]),
    quickRoom(
      "NanobatteryTwin",
      [
        "CLua", "CLZ4", "CBitshuffle", "EmulatedUSB", "FrameRing", "Pixels", "DEMessaging", "ZeroMQ", "JSON", "YAML",
        "Linux", "CLinux", "Quantities",
      ]),

    // executables
    program(
      "insitud",
      [
        "RunControl", "RunStore", "Alignment", "Pixels", "ControlProtocol", "FrameIngest", "FrameRing", "HolderDriver",
        "Potentiostat",
        "BiasProtocol", "USB", "ZeroMQ", "YAML", "JSON", "Journal", "Linux", "CLinux", "Quantities",
      ]),
    program(
      "insituctl",
      ["ControlProtocol", "RunExport", "RunStore", "BiasProtocol", "ZeroMQ", "JSON", "Linux", "Quantities"]),
    program(
      "insitu-twin",
      ["NanobatteryTwin", "MockUSBFS", "EmulatedUSB", "ZeroMQ", "YAML", "JSON", "Linux", "Quantities"]),
    // Boost is a yardstick of the benchmarks alone; without it the target builds and says that it is not there.
    .target(name: "CBoostQueue", dependencies: ["CLinux"], path: "Benchmarks/CBoostQueue"),
    .executableTarget(
      name: "insitu-bench",
      dependencies: [
        "CBoostQueue", "CLinux", "NanobatteryTwin", "Potentiostat", "USB", "Pixels", "CPixels", "CBitshuffle",
        "FrameRing", "FrameIngest", "RunStore", "RunControl", "BiasProtocol",
        "ControlProtocol", "SQLite", "ZeroMQ", "JSON", "Linux", "Quantities",
      ],
      path: "Benchmarks/insitu-bench", swiftSettings: strict),

    // tests
    .target(
      name: "FakeDaemon", dependencies: ["ControlProtocol", "ZeroMQ", "JSON", "Linux", "Quantities"],
      path: "Tests/FakeDaemon", swiftSettings: strict),
    .target(
      name: "TwinBench", dependencies: ["USB", "MockUSBFS", "EmulatedUSB", "NanobatteryTwin", "Linux", "Quantities"],
      path: "Tests/TwinBench", swiftSettings: quick),
    .executableTarget(
      name: "usb-probe", dependencies: ["USB", "Linux", "Quantities"], path: "Tests/usb-probe", swiftSettings: strict),
    .target(name: "CIntakeProbe", path: "Tests/CIntakeProbe"),
    .executableTarget(
      name: "intake-probe",
      dependencies: ["CIntakeProbe", "NanobatteryTwin", "FrameIngest", "FrameRing", "Linux", "Quantities"],
      path: "Tests/intake-probe", swiftSettings: quick),
    suite("Quantities", ["Quantities"]),
    suite("Linux", ["Linux", "CLinux", "Quantities"]),
    suite("JSON", ["JSON"]),
    suite("SQLite", ["SQLite"]),
    suite("YAML", ["YAML", "Quantities"]),
    suite("USB", ["TwinBench", "USB", "EmulatedUSB", "Linux", "Quantities"]),
    suite("Pixels", ["Pixels", "CPixels", "CBitshuffle", "Linux", "Quantities"]),
    suite("FrameRing", ["Pixels", "FrameRing", "Linux", "Quantities"]),
    suite(
      "FrameIngest",
      [
        "TwinBench", "FrameIngest", "FrameRing", "Pixels", "RunStore", "DEMessaging", "NanobatteryTwin", "ZeroMQ",
        "JSON",
        "Linux", "Quantities",
      ]),
    suite(
      "HolderDriver", ["TwinBench", "HolderDriver", "USB", "EmulatedUSB", "NanobatteryTwin", "Linux", "Quantities"]),
    suite(
      "Potentiostat", ["TwinBench", "Potentiostat", "USB", "EmulatedUSB", "NanobatteryTwin", "Linux", "Quantities"]),
    suite("Alignment", ["Alignment", "Quantities"]),
    suite("BiasProtocol", ["BiasProtocol", "YAML", "JSON", "Pixels", "Linux", "Quantities"]),
    suite("RunStore", ["RunStore", "Pixels", "SQLite", "Alignment", "JSON", "Linux", "Quantities"]),
    suite("RunExport", ["RunExport", "RunStore", "Pixels", "SQLite", "JSON", "Linux", "Quantities"]),
    suite("ControlProtocol", ["FakeDaemon", "ControlProtocol", "JSON", "ZeroMQ", "Linux", "Quantities"]),
    suite(
      "RunControl",
      [
        "TwinBench", "RunControl", "HolderDriver", "Potentiostat", "FrameRing", "Pixels", "FrameIngest", "BiasProtocol",
        "Alignment",
        "RunStore", "ControlProtocol", "NanobatteryTwin", "EmulatedUSB", "USB", "ZeroMQ", "SQLite", "Journal", "Linux",
        "Quantities", "JSON",
      ]),
    suite("EmulatedUSB", ["EmulatedUSB", "Linux", "Quantities"]),
    suite(
      "Anomaly",
      ["TwinBench", "Potentiostat", "HolderDriver", "USB", "EmulatedUSB", "NanobatteryTwin", "Linux", "Quantities"]),
    suite("MockUSBFS", ["MockUSBFS", "TwinBench", "USB", "EmulatedUSB", "NanobatteryTwin", "Linux", "Quantities"]),
    suite("NanobatteryTwin", ["NanobatteryTwin", "EmulatedUSB", "FrameRing", "Pixels", "JSON", "Linux", "Quantities"]),
    suite(
      "insituctl",
      [
        "FakeDaemon",
        "insituctl", "ControlProtocol", "BiasProtocol", "RunStore", "RunExport", "SQLite", "ZeroMQ", "JSON", "Linux",
        "Quantities",
      ]),
    suite(
      "Daemon",
      ["Potentiostat", "USB", "ControlProtocol", "RunStore", "SQLite", "ZeroMQ", "JSON", "Linux", "Quantities"]),
  ]
)
