using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <summary>
/// A user's memory on a test bench. On either side of it lies a guard page that nobody may touch; the bench looks at them in the end.
/// Accesses of the test are by offset. May be used from any thread, while the bench is there.
/// </summary>
public sealed unsafe class TestMemory
{
    /// <summary>What guard pages are filled with, and memory that was given back.</summary>
    public const byte Poison = 0xa5;

    internal const ulong Page = 4096;

    private readonly MemoryFile _file;
    private readonly MemoryMapping _mapping;
    private long _uses;
    private bool _forbidden;

    internal TestMemory(ulong size, TestMemoryKind kind)
    {
        ArgumentOutOfRangeException.ThrowIfZero(size);
        if (size % Page != 0 || size > int.MaxValue - (2 * Page))
        {
            throw new ArgumentException($"memory of 0x{size:x} bytes: it must be whole pages of 4096 bytes, and less than 2 GiB", nameof(size));
        }

        Size = size;
        Kind = kind;
        Channel = kind == TestMemoryKind.Message ? new TestMessageChannel(this) : null;
        _file = MemoryFile.Create("test memory", size + (2 * Page));
        _mapping = MemoryMapping.Map(_file.Descriptor.Value, 0, (nuint)(size + (2 * Page)), MemoryProtection.Read | MemoryProtection.Write);
        Guard(0).Fill(Poison);
        Guard(Page + size).Fill(Poison);
    }

    /// <summary>Size in bytes.</summary>
    public ulong Size { get; }

    /// <summary>How devices reach it.</summary>
    public TestMemoryKind Kind { get; }

    /// <summary>The way of messages to it; null for the other kinds.</summary>
    public TestMessageChannel? Channel { get; }

    /// <summary>Whether it is mapped somewhere, or held by a device for a transfer that is under way.</summary>
    public bool IsInUse => Interlocked.Read(ref _uses) != 0;

    /// <summary>The bytes. A copy of a span has no order; see <see cref="Read64"/> for words that a device writes meanwhile.</summary>
    // SAFETY: the mapping has a page more at each end, and lives as long as the bench.
    public Span<byte> Bytes => new(_mapping.Pointer + Page, (int)Size);

    internal nint Address => (nint)(_mapping.Pointer + Page);

    /// <summary>Fills it with random bytes.</summary>
    /// <param name="seed">Seed; equal seeds give equal bytes.</param>
    public void FillRandom(int seed) => new Random(seed).NextBytes(Bytes);

    /// <summary>Copies out.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="count">How many.</param>
    /// <returns>The bytes.</returns>
    public byte[] Read(ulong offset, int count) => Bytes.Slice(checked((int)offset), count).ToArray();

    /// <summary>Copies in.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">The bytes.</param>
    public void Write(ulong offset, ReadOnlySpan<byte> data) => data.CopyTo(Bytes[checked((int)offset)..]);

    /// <summary>Reads 2 bytes, little-endian.</summary>
    /// <param name="offset">First byte.</param>
    /// <returns>The value.</returns>
    public ushort Read16(ulong offset) => BinaryPrimitives.ReadUInt16LittleEndian(Bytes[checked((int)offset)..]);

    /// <summary>Reads 4 bytes, little-endian.</summary>
    /// <param name="offset">First byte.</param>
    /// <returns>The value.</returns>
    public uint Read32(ulong offset) => BinaryPrimitives.ReadUInt32LittleEndian(Bytes[checked((int)offset)..]);

    /// <summary>Reads 8 bytes, little-endian.</summary>
    /// <param name="offset">First byte.</param>
    /// <returns>The value.</returns>
    public ulong Read64(ulong offset) => BinaryPrimitives.ReadUInt64LittleEndian(Bytes[checked((int)offset)..]);

    /// <summary>Writes 2 bytes, little-endian.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="value">The value.</param>
    public void Write16(ulong offset, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(Bytes[checked((int)offset)..], value);

    /// <summary>Writes 4 bytes, little-endian.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="value">The value.</param>
    public void Write32(ulong offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(Bytes[checked((int)offset)..], value);

    /// <summary>Writes 8 bytes, little-endian.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="value">The value.</param>
    public void Write64(ulong offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Bytes[checked((int)offset)..], value);

    /// <summary>
    /// From now on nobody may touch it: it is filled with <see cref="Poison"/>, and the bench fails when that changes. For memory that is
    /// <see cref="IsInUse">not in use</see> any more.
    /// </summary>
    /// <exception cref="TestBenchException">It is in use.</exception>
    public void Forbid()
    {
        if (IsInUse)
        {
            throw new TestBenchException("memory that is mapped or held cannot be forbidden; unmap it first, and wait for transfers");
        }

        Bytes.Fill(Poison);
        _forbidden = true;
    }

    internal void Dispose()
    {
        _mapping.Dispose();
        _file.Dispose();
    }

    /// <summary>The memory as one mapping's. It has one reference, the caller's, and is in use until the last one goes.</summary>
    internal UserMemory Offer(ulong iova, ulong offset, ulong size)
    {
        if (offset > Size || size > Size - offset)
        {
            throw new TestBenchException($"[0x{offset:x}, +0x{size:x}) is not inside the memory of 0x{Size:x} bytes");
        }

        if (Channel is { } channel)
        {
            channel.Place(iova, offset, size);
            return new MessageMemory(channel, iova, size);
        }

        Interlocked.Increment(ref _uses);
        return new OfferedMemory(this, offset, size);
    }

    internal void Returned() => Interlocked.Decrement(ref _uses);

    /// <summary>Says what was touched that nobody may touch; null when all is well.</summary>
    internal string? FindDamage()
    {
        if (Guard(0).LastIndexOfAnyExcept(Poison) is >= 0 and int before)
        {
            return $"memory of 0x{Size:x} bytes: something was written {(int)Page - before} bytes before its start";
        }

        if (Guard(Page + Size).IndexOfAnyExcept(Poison) is >= 0 and int after)
        {
            return $"memory of 0x{Size:x} bytes: something was written {after} bytes past its end";
        }

        return _forbidden && Bytes.IndexOfAnyExcept(Poison) is >= 0 and int at
            ? $"memory of 0x{Size:x} bytes, not mapped any more: something was written at offset 0x{at:x}"
            : null;
    }

    // SAFETY: both guard pages are inside the mapping.
    private Span<byte> Guard(ulong offset) => new(_mapping.Pointer + offset, (int)Page);
}
