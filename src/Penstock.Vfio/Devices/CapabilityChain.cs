using System.Runtime.InteropServices;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>The list of capabilities behind an info structure, in the order in which they are added.</summary>
internal sealed class CapabilityChain
{
    private const int Alignment = 8;

    private readonly List<(ushort Id, ushort Version, byte[] Payload)> _capabilities = [];

    /// <summary>Bytes that all of them need.</summary>
    internal int Length { get; private set; }

    internal void Add<T>(ushort id, ushort version, params ReadOnlySpan<T> payload)
        where T : unmanaged
    {
        byte[] bytes = MemoryMarshal.AsBytes(payload).ToArray();
        _capabilities.Add((id, version, bytes));
        Length += SizeOf(bytes);
    }

    /// <summary>Writes them behind a structure.</summary>
    /// <param name="answer">The caller's buffer.</param>
    /// <param name="start">Where the first goes, from the start of the structure.</param>
    internal void Write(Span<byte> answer, int start)
    {
        int at = start;
        for (int i = 0; i < _capabilities.Count; i++)
        {
            (ushort id, ushort version, byte[] payload) = _capabilities[i];
            int size = SizeOf(payload);
            uint next = i + 1 < _capabilities.Count ? (uint)(at + size) : 0;
            answer.Slice(at, size).Clear();
            MemoryMarshal.Write(answer[at..], new VfioInfoCapHeader { Id = id, Version = version, Next = next });
            payload.CopyTo(answer[(at + VfioInfoCapHeader.Length)..]);
            at += size;
        }
    }

    private static int SizeOf(byte[] payload) => (VfioInfoCapHeader.Length + payload.Length + Alignment - 1) & -Alignment;
}
