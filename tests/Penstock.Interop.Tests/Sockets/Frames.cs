using System.Buffers.Binary;

namespace Penstock.Interop.Tests.Sockets;

/// <summary>Messages for the tests: a header of 16 bytes with the length at 4, and bytes that tell one message from another.</summary>
internal static class Frames
{
    public const int Header = 16;
    public const int Maximum = 300 * 1024;

    public static FrameFormat Format { get; } = new(Header, 4, Maximum);

    public static byte[] Make(int size, int seed, uint? claimed = null)
    {
        byte[] bytes = new byte[size];
        new Random(seed).NextBytes(bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), claimed ?? (uint)size);
        return bytes;
    }
}
