internal import CCurl
import Linux
import Quantities

/// One HTTP request at a time, by libcurl, on the thread that calls; its answer can be waited for, or looked for now
/// and then.
@safe
final class HTTPExchange {
  struct Answer: Equatable {
    var status: Int
    var body: [UInt8]
  }

  /// What kept the answer away, in libcurl's words.
  struct Failure: Error, Equatable {
    var reason: String
  }

  private static let connectLimit = Seconds(2)
  private static let mostBytes = 1 << 20
  /// libcurl's own start; once in a process.
  private static let isReady: Bool = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

  private let easy: UnsafeMutableRawPointer
  private let multi: UnsafeMutableRawPointer
  private let headers: UnsafeMutablePointer<curl_slist>?
  private let answer: UnsafeMutablePointer<ccurl_answer>
  private let failure: UnsafeMutablePointer<CChar>
  private(set) var isBusy = false

  init() {
    guard Self.isReady, let easy = unsafe curl_easy_init(), let multi = unsafe curl_multi_init() else {
      fatalError("curl_easy_init: out of memory")
    }
    unsafe self.easy = unsafe easy
    unsafe self.multi = unsafe multi
    unsafe headers = unsafe curl_slist_append(nil, "Content-Type: application/json")
    let bytes = UnsafeMutablePointer<CChar>.allocate(capacity: Self.mostBytes)
    unsafe answer = .allocate(capacity: 1)
    unsafe answer.initialize(to: ccurl_answer(bytes: bytes, room: Self.mostBytes, count: 0))
    unsafe failure = .allocate(capacity: Int(CURL_ERROR_SIZE))
    unsafe failure.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
  }

  deinit {
    forget()
    unsafe curl_easy_cleanup(easy)
    unsafe _ = curl_multi_cleanup(multi)
    unsafe curl_slist_free_all(headers)
    unsafe answer.pointee.bytes.deallocate()
    unsafe answer.deallocate()
    unsafe failure.deallocate()
  }

  /// Sends a request and waits for its answer.
  func ask(_ method: String, _ url: String, _ body: String = "", within limit: Seconds) throws(Failure) -> Answer {
    guard limit.value > 0 else { throw Failure(reason: "too slow: no time is left to ask") }
    try begin(method, url, body, within: limit)
    defer { forget() }
    // libcurl keeps the limit; this one is for the case that it does not.
    let end = MonotonicTime.now + limit + Self.connectLimit
    while MonotonicTime.now < end {
      if let answer = try look(atMost: Seconds(0.1)) { return answer }
    }
    throw Failure(reason: "no answer within \(limit)")
  }

  /// Begins a request.
  /// - Parameter limit: nil: it may take as long as it takes.
  func begin(_ method: String, _ url: String, _ body: String = "", within limit: Seconds?) throws(Failure) {
    forget()
    unsafe answer.pointee.count = 0
    let result = unsafe ccurl_prepare(
      easy, method, url, body, headers, answer, failure, Int(Self.connectLimit.value * 1000),
      limit.map { max(1, Int($0.value * 1000)) } ?? 0)
    guard result == CURLE_OK else { throw Failure(reason: reason(result)) }
    guard unsafe curl_multi_add_handle(multi, easy) == CURLM_OK else { throw Failure(reason: "libcurl has no room") }
    isBusy = true
  }

  /// Lets the request go on.
  /// - Returns: nil while there is no answer.
  func look(atMost span: Seconds = Seconds(0)) throws(Failure) -> Answer? {
    guard isBusy else { return nil }
    var running: Int32 = 0
    unsafe _ = curl_multi_perform(multi, &running)
    if running > 0, span.value > 0 {
      unsafe _ = curl_multi_poll(multi, nil, 0, Int32(span.value * 1000), nil)
      unsafe _ = curl_multi_perform(multi, &running)
    }
    var result = CURLE_OK
    guard unsafe ccurl_is_done(multi, &result) != 0 else { return nil }
    defer { forget() }
    guard result == CURLE_OK else { throw Failure(reason: reason(result)) }
    let bytes = unsafe UnsafeRawBufferPointer(start: answer.pointee.bytes, count: answer.pointee.count)
    return unsafe Answer(status: ccurl_status(easy), body: Array(bytes))
  }

  /// Lets go of a request that nobody waits for any more; its connection is closed.
  func forget() {
    guard isBusy else { return }
    isBusy = false
    unsafe _ = curl_multi_remove_handle(multi, easy)
  }

  private func reason(_ result: CURLcode) -> String {
    let text = unsafe String(cString: failure)
    return unsafe text.isEmpty ? String(cString: curl_easy_strerror(result)) : text
  }
}
