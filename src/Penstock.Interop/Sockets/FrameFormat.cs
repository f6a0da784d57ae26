namespace Penstock.Interop;

/// <summary>How messages follow each other on a stream: a fixed header that holds the length of the whole message.</summary>
/// <param name="HeaderLength">Length of the header in bytes.</param>
/// <param name="SizeOffset">Where in the header the message's length stands, 4 bytes in host order, header included.</param>
/// <param name="MaximumLength">The longest message that is accepted, header included.</param>
public readonly record struct FrameFormat(int HeaderLength, int SizeOffset, int MaximumLength);
