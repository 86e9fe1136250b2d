// FrameIngest
