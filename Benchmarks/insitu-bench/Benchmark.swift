import Glibc
import Linux
import Potentiostat
import Quantities
import RunControl
import USB

/// All measurements in order, and the table that comes of them.
struct Benchmark {
  let options: Options
  var table = ResultTable()

  /// Frames of 1024 x 1024 and of 128 x 128 in each recording, 4 GB of 16-bit pixels, and recordings of each.
  private static let largeFrames = 1920
  private static let smallFrames = 120_000
  private static let recordings = 3
  private static let streamedFrames = 1200
  static let yardstickBytes = 1 << 30
  private static let trips = 7

  init(_ options: Options) { self.options = options }

  var ringPath: String { "/dev/shm/insitu-bench-\(getpid())" }

  mutating func run() throws(BenchmarkError) {
    if options.wants(.ring) {
      try numberHandover()
      try ringHandover()
    }
    if options.wants(.pixels) { try pixels() }
    if options.wants(.disk) {
      try recordedFrames()
      try verifiedRun()
      try verifiedCompressedRuns()
      if options.seconds > 0 { try sustainedRecording() }
    }
    if options.wants(.simplon) { try simplonReceivers() }
    if options.wants(.usb) { try instruments() }
    guard [.load, .latency, .limit].contains(where: options.wants) else { return }
    let daemon = try DaemonUnderTest(
      programs: options.programs, configuration: options.configuration, work: options.work, runtime: options.runtime)
    defer { daemon.end() }
    if options.wants(.load) { try daemonLoad(daemon) }
    if options.wants(.latency) { try subscriberLatency(daemon) }
    if options.wants(.limit) { try limitReaction(daemon) }
  }

  /// To standard error, which is not held back when it is not a terminal.
  func say(_ what: String) {
    let line = Array("measuring \(what) ...\n".utf8)
    unsafe _ = write(2, line, line.count)
  }

  // MARK: Frames inside one process

  private mutating func ringHandover() throws(BenchmarkError) {
    say("the hand-over of frames from thread to thread")
    for (name, bytes, slots, frames) in [("one cache line", 64, 256, 100_000), ("2 MiB", 2 << 20, 32, 1000)] {
      let (ring, queue, copy) = try RingHandover(path: ringPath, bytes: bytes, slots: slots, frames: frames).measure()
      table.add(
        ResultRow(
          what: "ring hand-over, \(name)", figure: time(ring.median), spread: times(ring),
          yardstick: "mutex + condition queue \(time(queue.median))", ratio: plain(ring.median / queue.median),
          budget: "≤ 1"))
      table.add(
        ResultRow(
          what: "  the same", figure: time(ring.median), spread: times(ring),
          yardstick: "memcpy of the bytes \(time(copy.median))", ratio: plain(ring.median / copy.median)))
    }
  }

  private mutating func recordedFrames() throws(BenchmarkError) {
    say("recording in one process, and the disk")
    let disk = DiskRate(directory: options.work, bytes: Self.yardstickBytes, fio: options.fio)
    for (name, side, frames, slots, budget) in [
      ("1024 x 1024", 1024, Self.largeFrames, 64, "≥ 0.8"), ("128 x 128", 128, Self.smallFrames, 2048, "≥ 100000 /s"),
    ] {
      var before = try disk.measure()
      var ratios: [Double] = []
      var rates: [Double] = []
      var disks = [before]
      var frameRates: [Double] = []
      var threads: [[String: Double]] = []
      for _ in 0..<Self.recordings {
        let result = try RecordedFrames(
          directory: options.work + "/frames", ringPath: ringPath, width: side, height: side,
          source: .frames(frames), slots: slots
        ).measure()
        let after = try disk.measure()
        disks.append(after)
        ratios.append(result.bytesPerSecond / ((before + after) / 2))
        rates.append(result.bytesPerSecond)
        frameRates.append(result.framesPerSecond)
        threads.append(result.threads)
        before = after
      }
      let fps = Spread(frameRates)
      let ratio = Spread(ratios)
      table.add(
        ResultRow(
          what: "recorded, \(name) x 16 bit", figure: "\(plain(fps.median)) /s, \(rate(Spread(rates).median))",
          spread: "\(plain(fps.least)) … \(plain(fps.most)) /s",
          yardstick: "\(disk.name), O_DIRECT: \(rate(Spread(disks).median))",
          ratio: "\(plain(ratio.median)) (\(plain(ratio.least)) … \(plain(ratio.most)))", budget: budget))
      if side < 1024 { try recordedNowhere(side, frames, slots) }
      table.remark(
        "CPU for one frame of \(name) by thread: \(byThread(threads)). The source copies, checksums and measures; "
          + "store is the database.")
    }
  }

  /// The same with a disk that takes everything at once: the ring, the recorder and the database by themselves.
  private mutating func recordedNowhere(_ side: Int, _ frames: Int, _ slots: Int) throws(BenchmarkError) {
    var settings = RecordedRun.settings()
    settings.queue = { BoundlessDisk(limit: $0) }
    var rates: [Double] = []
    for _ in 0..<Self.recordings {
      rates.append(
        try RecordedFrames(
          directory: options.work + "/frames", ringPath: ringPath, width: side, height: side, source: .frames(frames),
          slots: slots, settings: settings
        ).measure().framesPerSecond)
    }
    let fps = Spread(rates)
    table.add(
      ResultRow(
        what: "  the same, pixels written nowhere", figure: "\(plain(fps.median)) /s",
        spread: "\(plain(fps.least)) … \(plain(fps.most)) /s", yardstick: "asked for 100000 /s",
        ratio: plain(fps.median / 100_000), budget: "≥ 100000 /s"))
  }

  /// Medians, the largest first.
  func byThread(_ times: [[String: Double]]) -> String {
    let names = Set(times.flatMap(\.keys))
    let medians = names.map { name in (name: name, time: Spread(times.compactMap { $0[name] }).median) }
    return medians.sorted { $0.time > $1.time }.map { "\($0.name) \(time($0.time))" }.joined(separator: ", ")
  }

  // MARK: A stream over loopback

  private mutating func simplonReceivers() throws(BenchmarkError) {
    guard let python = options.python else {
      table.remark("SIMPLON was not measured: there is no python with libertem-dectris (`make test` makes one).")
      return
    }
    for dose in [0.1, 1, 3] {
      say("SIMPLON version 1 over loopback, decoded and recorded, at \(plain(dose)) electrons per pixel")
      let receivers = SimplonReceivers(
        python: python, script: options.peer, directory: options.work, ringPath: ringPath,
        frames: Self.streamedFrames, dose: dose)
      try receivers.prepare()
      var received: [SimplonReceivers.Cost] = []
      var recorded: [SimplonReceivers.Cost] = []
      var theirs: [SimplonReceivers.Cost] = []
      // In turns, so that whatever else the machine does meets all.
      for _ in 0..<Self.recordings {
        received.append(try receivers.ours(isRecorded: false))
        recorded.append(try receivers.ours(isRecorded: true))
        theirs.append(try receivers.theirs())
      }
      for (what, ours) in [("decoded", received), ("decoded and recorded", recorded)] {
        add("SIMPLON v1, bslz4, \(plain(dose)) e/px, \(what): a frame", ours.map(\.time), theirs.map(\.time))
        add("  its CPU", ours.map(\.cpu), theirs.map(\.cpu))
      }
    }
    FileSystem.remove(options.work + "/stream.raw")
  }

  private mutating func add(_ what: String, _ ours: [Double], _ theirs: [Double]) {
    let (ours, theirs) = (Spread(ours), Spread(theirs))
    table.add(
      ResultRow(
        what: what, figure: time(ours.median), spread: times(ours),
        yardstick: "libertem-dectris \(time(theirs.median)) (\(times(theirs)))",
        ratio: plain(ours.median / theirs.median), budget: "< 1"))
  }

  private mutating func verifiedRun() throws(BenchmarkError) {
    say("verifying a run, and the disk")
    let results = try VerifiedRun(
      directory: options.work, frames: Self.yardstickBytes >> 21, repetitions: Self.recordings, fio: options.fio
    ).measure()
    let rates = Spread(results.map(\.verified))
    let ratio = Spread(results.map { $0.verified / $0.disk })
    table.add(
      ResultRow(
        what: "runs verify, 1024 x 1024 x 16 bit", figure: rate(rates.median),
        spread: "\(rate(rates.least)) … \(rate(rates.most))",
        yardstick: "\(options.fio == nil ? "O_DIRECT loop" : "fio"), reading with O_DIRECT: "
          + rate(Spread(results.map(\.disk)).median),
        ratio: "\(plain(ratio.median)) (\(plain(ratio.least)) … \(plain(ratio.most)))", budget: "≥ 0.8"))
    table.remark(
      "CPU of verification for 2 MiB: \(time(Spread(results.map(\.timePerByte)).median * Double(2 << 20))).")
  }

  // MARK: Instruments over USB

  private mutating func instruments() throws(BenchmarkError) {
    let bare = try WakeUp.measure(count: 2000, period: Seconds(0.0002), work: options.work)
    // There and back.
    let yardstick = bare.median * 2
    for model in PotentiostatModels.all {
      say("the \(model.name) of the twin")
      let twin = try TwinOfModel(
        model.name, programs: options.programs, work: options.work, runtime: options.runtime)
      let settings = PotentiostatSettings(model: model.name, usb: USBMatch(serial: nil))
      let figures = try InstrumentSpeed(bus: USBIPBus(address: twin.socket), settings: settings).measure()
      table.add(
        ResultRow(
          what: "\(model.name): a question", figure: time(figures.question.median),
          spread: "p99 \(time(figures.question.percentile(99)))",
          yardstick: "two wake-ups through a pipe \(time(yardstick))",
          ratio: plain(figures.question.median / yardstick)))
      table.add(
        ResultRow(
          what: "  samples sustained", figure: "\(plain(figures.samplesPerSecond)) /s, \(figures.missing) missing",
          spread: "\(share(figures.share)) of a core", yardstick: "asked for \(plain(figures.askedPerSecond)) /s",
          ratio: plain(figures.samplesPerSecond / figures.askedPerSecond)))
    }
  }

  // MARK: The real daemon

  private mutating func daemonLoad(_ daemon: DaemonUnderTest) throws(BenchmarkError) {
    say("the daemon: idle, with 100 samples per second, with 400 frames per second")
    let load = DaemonLoad(daemon: daemon)
    sleepThread(for: Seconds(1))
    var idles: [DaemonLoad.Cost] = []
    for _ in 0..<3 { idles.append(try load.idle(for: Seconds(2))) }
    add("daemon, idle", idles, budget: "≤ 1 %")
    let memory = daemon.process.residentBytesWithoutShared
    table.add(
      ResultRow(
        what: "memory beside the ring, idle", figure: "\(plain(memory / 1e6)) MB", spread: "",
        yardstick: "budget 60 MB", ratio: plain(memory / 60e6), budget: "≤ 60 MB"))
    add("daemon, 100 samples/s", [try load.sampling(seconds: 3)], budget: "")

    var costs: [DaemonLoad.Cost] = []
    var received: Int64 = 0
    var lost: Int64 = 0
    for _ in 0..<2 {
      let run = try load.recording(seconds: 5)
      costs.append(run.cost)
      received += run.received
      lost += run.lost
    }
    add("daemon, 400 fps of 1024 x 1024 and 100 samples/s", costs, budget: "≤ 50 %")
    table.add(
      ResultRow(
        what: "  frames lost", figure: "\(lost)", spread: "", yardstick: "\(received) received",
        ratio: plain(Double(lost) / Double(max(1, received))), budget: "0"))
    let after = daemon.process.residentBytesWithoutShared
    table.remark("Memory beside the ring after these runs: \(plain(after / 1e6)) MB.")
  }

  private mutating func add(_ what: String, _ costs: [DaemonLoad.Cost], budget: String) {
    let shares = Spread(costs.map(\.share))
    table.add(
      ResultRow(
        what: what, figure: share(shares.median), spread: "\(share(shares.least)) … \(share(shares.most))",
        yardstick: "one core", ratio: plain(shares.median), budget: budget))
    let threads = costs.last?.threads ?? []
    table.remark("\(what), by thread: " + threads.map { "\($0.name) \(share($0.share))" }.joined(separator: ", ") + ".")
  }

  private mutating func subscriberLatency(_ daemon: DaemonUnderTest) throws(BenchmarkError) {
    say("frame complete to subscriber")
    let bare = try WakeUp.measure(count: 800, period: Seconds(0.0025), work: options.work)
    var looks: [(String, Spread)] = []
    for topic in ["ref/", "frame/"] {
      let found = try SubscriberLatency(daemon: daemon, seconds: 2).measure(topic: topic)
      addLatency("frame complete → \(topic) over ipc", found.message, bare)
      looks.append((topic, found.ring))
      let missed = 800 - found.received
      if missed > 0 { table.remark("The subscriber of \(topic) missed \(missed) of 800 messages.") }
    }
    for (topic, spread) in looks { addLatency("frame complete → ring onlooker (beside \(topic))", spread, bare) }
    addLatency("  the yardstick itself", bare, bare)
  }

  private mutating func addLatency(_ what: String, _ latency: Spread, _ bare: Spread) {
    table.add(
      ResultRow(
        what: what, figure: "p50 \(time(latency.median))", spread: "p99 \(time(latency.percentile(99)))",
        yardstick: "bare wake-up through a pipe \(time(bare.median)), p99 \(time(bare.percentile(99)))",
        ratio: "\(plain(latency.median / bare.median)), p99 \(plain(latency.percentile(99) / bare.percentile(99)))",
        budget: "p99 ≤ 1 ms"))
  }

  private mutating func limitReaction(_ daemon: DaemonUnderTest) throws(BenchmarkError) {
    say("limit reactions, \(Self.trips) trips")
    let reaction = LimitReaction(daemon: daemon)
    var trips: [LimitReaction.Trip] = []
    for _ in 0..<Self.trips { trips.append(try reaction.measure()) }
    let period = 0.01
    for (what, values, budget) in [
      ("sample complete → output off", trips.map(\.sampleToOff), "≤ 1"),
      ("voltage crosses its limit → output off", trips.map(\.crossingToOff), ""),
      ("voltage crosses its limit → contacts open", trips.map(\.crossingToOpen), ""),
    ] {
      let spread = Spread(values)
      table.add(
        ResultRow(
          what: what, figure: time(spread.median), spread: times(spread), yardstick: "sample period \(time(period))",
          ratio: "\(plain(spread.median / period)) (worst \(plain(spread.most / period)))", budget: budget))
    }
  }
}
