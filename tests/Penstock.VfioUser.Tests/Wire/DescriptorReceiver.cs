using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Penstock.VfioUser.Tests;

/// <summary>recvmsg(2) with descriptors, by hand.</summary>
internal static unsafe partial class DescriptorReceiver
{
    private const int SocketLevel = 1;
    private const int Rights = 1;
    private const int ControlRoom = 512;
    private const int ControlHeader = 16;

    /// <summary>Receives once, as a peer does that reads the header alone.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="descriptors">What came with them.</param>
    /// <returns>Bytes received; -1 for an error.</returns>
    public static int Receive(int socket, Span<byte> buffer, out SafeFileHandle[] descriptors)
    {
        byte* control = stackalloc byte[ControlRoom];
        descriptors = [];
        fixed (byte* start = buffer)
        {
            var vector = new Vector { Base = (nint)start, Length = (nuint)buffer.Length };
            var message = new Message { Vectors = &vector, VectorCount = 1, Control = (nint)control, ControlLength = ControlRoom };

            // SAFETY: the buffers have the lengths that are passed.
            nint n = recvmsg(socket, &message, 0x40000000);
            if (n > 0 && message.ControlLength >= ControlHeader)
            {
                Assert.Equal((SocketLevel, Rights), (*(int*)(control + 8), *(int*)(control + 12)));
                int count = (int)(*(ulong*)control - ControlHeader) / sizeof(int);
                descriptors = [.. new ReadOnlySpan<int>(control + ControlHeader, count).ToArray().Select(static d => new SafeFileHandle(d, true))];
            }

            return (int)n;
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint recvmsg(int socket, Message* message, int flags);

    private struct Vector
    {
        public nint Base;
        public nuint Length;
    }

    private struct Message
    {
        public nint Name;
        public uint NameLength;
        public Vector* Vectors;
        public nuint VectorCount;
        public nint Control;
        public nuint ControlLength;
        public int Flags;
    }
}
