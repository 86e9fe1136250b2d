import Linux
import Pixels
import Quantities
import Testing

@testable import RunStore

@Suite("Frames on their way to a compressed segment")
struct CompressionQueueTests {
  private static let patience = Seconds(60)

  private func put(_ queue: CompressionQueue, _ pixels: borrowing AlignedBuffer, side: Int, _ frames: Range<UInt64>) {
    let shape = FrameShape(width: side, height: side, bytesPerPixel: 2)
    let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(pixels.bytes)[..<shape.bytes])
    for number in frames {
      let frame = RecordedFrame(
        frameNumber: number, deviceNanoseconds: 0, exposureNanoseconds: 0, arrival: MonotonicTime(nanoseconds: 0),
        series: 0, shape: shape)
      queue.put(frame, 0, bytes, lender: number)
    }
  }

  @Test("large frames after small ones have no more rooms at a time than large frames alone")
  func roomsAfterSmallFrames() throws {
    let pixels = AlignedBuffer(count: 3000 * 3000 * 2)
    let queue = CompressionQueue(.bslz4, threads: 1, backlogFrames: 4096, backlogBytes: 1 << 30)
    put(queue, pixels, side: 64, 0..<16)
    var taken: [CompressionQueue.Frame] = []
    for number in UInt64(0)..<16 {
      let frame = try #require(queue.takeFirst(atMost: Self.patience))
      #expect(frame.lender == number && frame.encoding == .bslz4)
      taken.append(frame)
    }
    for frame in taken { queue.returnRoom(of: frame) }

    put(queue, pixels, side: 3000, 16..<19)
    let first = try #require(queue.takeFirst(atMost: Self.patience))
    let second = try #require(queue.takeFirst(atMost: Self.patience))
    #expect(first.lender == 16 && second.lender == 17)
    // Two for a thread: the third is not begun before one of them is given back.
    let early = queue.takeFirst(atMost: Seconds(1))
    #expect(early == nil && queue.firstLender == 18)
    queue.returnRoom(of: first)
    let third = try #require(queue.takeFirst(atMost: Self.patience))
    #expect(third.lender == 18 && third.encoding == .bslz4)
    queue.returnRoom(of: second)
    queue.returnRoom(of: third)
  }

  @Test("frames beyond those that may wait go through as they are, however small they are")
  func backlog() throws {
    let pixels = AlignedBuffer(count: 8192)
    let queue = CompressionQueue(.bslz4, threads: 1, backlogFrames: 4, backlogBytes: 1 << 30)
    put(queue, pixels, side: 64, 0..<6)
    var encodings: [FrameEncoding] = []
    for _ in 0..<6 {
      let frame = try #require(queue.takeFirst(atMost: Self.patience))
      encodings.append(frame.encoding)
      queue.returnRoom(of: frame)
    }
    #expect(encodings == [.bslz4, .bslz4, .bslz4, .bslz4, .raw, .raw])
  }
}
