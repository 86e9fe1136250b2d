import BiasProtocol
import Testing

@Suite struct RecordingErrorTests {
  @Test(
    "A wrong sentence about recording gets the column of the word, what is wrong, and the remedy",
    arguments: [
      ("Record", 5, "“Record” is not understood; write “Record frames at 10 fps”"),
      ("Record pictures", 12, "write “Record frames at 10 fps”, “Record every 10th frame at 400 fps”"),
      ("Record frames keep all", 12, "is not understood"),
      ("Record frames at", 21, "a frame rate is missing here"),
      ("Record frames at 10 fps at 20 fps", 29, "the rate stands there twice; remove one"),
      ("Record all", 15, "“frames” is missing here"),
      ("Record no frame", 15, "is not understood"),
      ("Record frames at 10 fps please", 22, "“fps please” is not a frame rate"),
      ("Record every frame at 400 fps", 18, "“frame” does not say which frames; write for example “every 10th”"),
      ("Record every", 17, "how many is missing here; write for example “every 10th”"),
      ("Record every 10 frames", 18, "“10” does not say which frames; write for example “every 10th”"),
      ("Record every 10th", 22, "“frame” is missing here"),
      ("Record every 1st frame", 12, "“every 1st” leaves nothing out; write “all”, or for example “every 2nd”"),
      ("Record every 0th frame", 12, "leaves nothing out"),
      ("Record every 1000000001st frame", 18, "is too large; at most every 1000000000th"),
      ("Record every 99999999999999999999th frame", 18, "is too large"),
      ("Record every 10th frame, keep 10 fps", 30, "what is kept stands there twice; remove one"),
      ("Record frames at 10 fps, keep", 34, "what is kept is missing here"),
      ("Record frames at 10 fps, keep some", 35, "“Record frames at 10 fps, keep some” is not understood"),
      ("Record frames at 10 fps, keep 20 fps", 30, "20 fps cannot be kept of 10 fps; keep fewer, or leave “keep” out"),
      ("Record averages of 8 frames at 80 fps, keep 20 fps", 44, "20 fps cannot be kept of averages of 8 at 80 fps"),
      ("Record averages of 8 frames, keep every 2nd", 34, "every 2nd frame and averages of 8 exclude each other"),
      ("Record averages of 8 frames, keep none", 34, "averages of 8 frames of which none is kept"),
      ("Record averages of 1 frames", 24, "averages of 1 are not possible; write a number from 2 to 65536"),
      ("Record averages of 65537 frames", 24, "averages of 65537 are not possible"),
      (
        "Record averages of x frames", 24,
        "“x” is not a whole number of frames; write for example “averages of 8 frames”"
      ),
      ("Record averages of 8", 25, "“frames” is missing here"),
      ("Record averages 8 frames", 21, "is not understood"),
      ("Record frames at 10 fps until 4 V", 29, "“until” does not belong to recording"),
      ("Stop", 5, "is not understood"),
      ("Stop recording now", 20, "is not understood"),
      ("Keep", 9, "“the” is missing here; write for example “Keep the last 10 s”"),
      ("Keep the", 13, "“last” is missing here"),
      ("Keep last 10 s", 10, "“last” stands where “the” is needed"),
      ("Keep the last", 18, "a time is missing here"),
      ("Keep the last 10", 19, "“10” has no unit; write for example “10 s”"),
      ("Keep the last 10 pA", 19, "“10 pA” is a current; a time is needed here"),
      ("Keep the last 0 s", 19, "0 s keeps nothing; remove the step"),
      ("Keep the last 2 h", 19, "2 h is longer than any camera's ring holds; at most 1 h is possible"),
      ("Keep the last 10 s for 5 s", 24, "“for” does not belong here"),
      ("Kepe the last 10 s", 5, "did you mean “Keep”?"),
    ])
  func sentence(written: String, column: Int, words: String) throws {
    let found = errors(protocolText("- \(written)\n- Rest for 1 s"))
    let error = try #require(found.first)
    #expect(found.count == 1, "\(found)")
    #expect(error.line == firstStepLine)
    #expect(error.column == column, "\(error)")
    #expect(error.text.contains(words), "\(error)")
    #expect(error.remedy != nil || words.contains("frame rate") || words.contains("unit") || words.contains("time"))
  }

  /// Each option stands behind “    record: ” in the line after the first step's.
  @Test(
    "A wrong option gets its column, what is wrong, and the remedy",
    arguments: [
      ("on", 15, "“on” is not understood here; write for example “400 fps”, “every 10th at 400 fps”"),
      ("Off at 400 fps", 15, "“Off” is not understood here"),
      ("every 10", 21, "“10” does not say which frames"),
      ("400 fps, keep 500 fps", 24, "500 fps cannot be kept of 400 fps"),
      ("400", 15, "“400” has no unit; write for example “400 fps”"),
      ("[all]", 15, "cannot be a list; write for example “400 fps”"),
      ("{}", 15, "says nothing; write for example “400 fps”"),
      ("{rate: 400}", 22, "“400” has no unit"),
      ("{rate: 0 fps}", 22, "records nothing"),
      ("{rate: all}", 22, "is not a number with a unit"),
      ("{rate: [1]}", 22, "must be text, not a list"),
      ("{raet: 400 fps}", 16, "did you mean “rate”?"),
      ("{exposure: 1 ms}", 16, "known here: rate, keep, average, region, trigger"),
      ("{keep: some}", 22, "“some” is not understood here; write “all”, “none”"),
      ("{keep: off}", 22, "“off” is not understood here"),
      ("{keep: every}", 27, "how many is missing here"),
      ("{keep: every 5th at 10 fps}", 32, "“at” is not understood here"),
      ("{rate: 10 fps, keep: 20 fps}", 36, "20 fps cannot be kept of 10 fps"),
      ("{average: 1}", 25, "is 1; at least 2 is needed"),
      ("{average: 65537}", 25, "is 65537; at most 65536 is possible"),
      ("{average: 8 frames}", 25, "“8 frames” is not a whole number"),
      ("{keep: every 10th, average: 8}", 22, "exclude each other; write one of them"),
      ("{keep: none, average: 8}", 37, "leave “average” out, or add a trigger"),
      ("{region: 256}", 24, "write width x height at left, top, for example “256 x 256 at 128, 64”"),
      ("{region: '256 x 256'}", 25, "is not a region in whole pixels"),
      ("{region: '256 x 256 at 1.5, 0'}", 25, "is not a region in whole pixels"),
      ("{region: '0 x 256 at 0, 0'}", 25, "is not possible; a region has at least 1 x 1 pixel"),
      ("{region: '256 x 256 at -1, 0'}", 25, "begins at 0, 0 or further right and below"),
      ("{region: '256 x 256 at 65500, 0'}", 25, "ends within 65536 pixels"),
      ("{region: 256 x 256 at 0, 0, 1}", 43, "unknown key “steps[0].record.1”"),
      ("{region: 256 x 256 at 0, -1}", 24, "begins at 0, 0 or further right and below"),
      (
        "{trigger: {when: mean > 1, after: 1 s}}", 25,
        "a trigger has no effect while all frames are kept; add “keep: none”"
      ),
      ("{keep: none, trigger: mean > 1}", 37, "write for example “{when: change > 0.5, before: 10 s, after: 5 s}”"),
      ("{keep: none, trigger: {after: 1 s}}", 37, "trigger.when” is missing"),
      ("{keep: none, trigger: {when: mean > 1}}", 37, "says neither how long before nor how long after"),
      ("{keep: none, trigger: {when: mean > 1, after: 0 s, before: 0 s}}", 37, "says neither how long"),
      ("{keep: none, trigger: {when: mean > 1, until: 1 s}}", 54, "known here: when, before, after"),
      ("{keep: none, trigger: {when: mean > 1, before: 1}}", 62, "“1” has no unit; write for example “1 s”"),
      ("{keep: none, trigger: {when: mean > 1, before: -1 s}}", 62, "is -1 s; it must not be below 0"),
      ("{keep: none, trigger: {when: mean > 1, before: 61 min}}", 62, "at most 1 h is possible"),
      ("{keep: none, trigger: {when: mean > 1, after: 25 h}}", 61, "at most 24 h is possible"),
      ("{keep: none, trigger: {when: mean, after: 1 s}}", 44, "compares nothing; write for example “change > 0.5”"),
      ("{keep: none, trigger: {when: mena > 1, after: 1 s}}", 44, "did you mean “mean”?"),
      (
        "{keep: none, trigger: {when: entropy > 1, after: 1 s}}", 44,
        "known here: mean, minimum, maximum, sum, saturated"
      ),
      ("{keep: none, trigger: {when: region 17 > 1, after: 1 s}}", 44, "write “region 1” … “region 16”"),
      ("{keep: none, trigger: {when: region > 1, after: 1 s}}", 44, "write “region 1” … “region 16”"),
      ("{keep: none, trigger: {when: '> 1', after: 1 s}}", 45, "names no statistic; known here: mean"),
      ("{keep: none, trigger: {when: mean >, after: 1 s}}", 44, "has no threshold; write for example “mean > 10”"),
      ("{keep: none, trigger: {when: mean > 1 V, after: 1 s}}", 44, "“1 V” is not a plain number (of counts)"),
      ("{keep: none, trigger: {when: saturated > 1 %, after: 1 s}}", 44, "is not a plain number (of pixels)"),
      ("{keep: none, trigger: {when: mean > inf, after: 1 s}}", 44, "“inf” is not a plain number"),
      ("{cameras: all}", 25, "must be a mapping, not the text “all”; write for example “image: 400 fps”"),
      ("{cameras: {}}", 25, "names no camera; write for example “image: 400 fps”, or “record: off”"),
      ("{cameras: {'': all}}", 26, "has no value"),
      ("{cameras: {image: }}", 33, "has no value"),
      ("{cameras: {image: 400}}", 33, "cameras.image: “400” has no unit"),
      ("{cameras: {image: all, image: off}}", 38, "image"),
      ("{cameras: {image: {cameras: {a: all}}}}", 34, "known here: rate, keep, average, region, trigger"),
      ("{cameras: {image: all}, rate: 400 fps}", 39, "“rate” stands beside “cameras”; write it under a camera's name"),
    ])
  func option(written: String, column: Int, words: String) throws {
    let found = errors(protocolText("- Rest for 1 s:\n    record: \(written)"))
    let error = try #require(found.first)
    #expect(found.count == 1, "\(found)")
    #expect(error.line == firstStepLine + 1)
    #expect(error.column == column, "\(error)")
    #expect(error.text.contains(words), "\(error)")
  }

  @Test("Several mistakes of one option are named at once")
  func several() {
    let option = "{rate: 400, keep: some, region: 5, trigger: {when: x > 1, before: 1}, colour: red}"
    let found = errors(protocolText("- Rest for 1 s:\n    record: \(option)"))
    #expect(found.map(\.column) == [22, 33, 47, 66, 81, 85])
  }

  @Test("Seventeen cameras are refused, and look-backs take no options")
  func structure() {
    let cameras = (0..<17).map { "c\($0): all" }.joined(separator: ", ")
    let many = errors(protocolText("- Rest for 1 s:\n    record: {cameras: {\(cameras)}}"))
    #expect(many.map(\.message) == ["“steps[0].record.cameras” names 17 cameras"])
    #expect(many.first?.remedy == "at most 16 are possible")
    let options = errors(protocolText("- Rest for 1 s\n- Keep the last 10 s:\n    record: all"))
    #expect(options.map(\.text) == ["a sentence about recording takes no options; remove the options"])
  }

  @Test("A recording without a step is named as what it is")
  func unused() {
    let found = errors(protocolText("- Rest for 1 s\n- Record averages of 8 frames at 400 fps"))
    #expect(found.first?.message.hasPrefix("recording averages of 8 at 400 fps has no effect") == true, "\(found)")
  }
}
