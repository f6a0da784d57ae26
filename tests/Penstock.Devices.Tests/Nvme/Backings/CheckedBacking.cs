using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>Blocks in an array that notices every access outside it, counts, and can be made to fail.</summary>
internal sealed class CheckedBacking(int length) : INvmeBacking
{
    private int _outside;
    private long _flushes;

    public byte[] Content { get; } = new byte[length];

    public ulong Length => (ulong)Content.Length;

    public bool IsReadOnly { get; init; }

    /// <summary>What <see cref="MayBlock"/> says.</summary>
    public bool Blocks { get; init; }

    public bool MayBlock => Blocks;

    public bool CanDeallocate { get; init; } = true;

    public long FlushCount => Interlocked.Read(ref _flushes);

    public string Description => "a test's array";

    /// <summary>Accesses that were not inside.</summary>
    public int Outside => Volatile.Read(ref _outside);

    /// <summary>What every access answers.</summary>
    public Errno Answer { get; set; }

    public Errno Read(ulong offset, Span<byte> destination)
    {
        if (Check(offset, (ulong)destination.Length))
        {
            Content.AsSpan((int)offset, destination.Length).CopyTo(destination);
        }

        return Answer;
    }

    public Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        if (Check(offset, (ulong)source.Length))
        {
            source.CopyTo(Content.AsSpan((int)offset));
        }

        return Answer;
    }

    public Errno Zero(ulong offset, ulong length, bool deallocate)
    {
        if (Check(offset, length))
        {
            Content.AsSpan((int)offset, (int)length).Clear();
        }

        return Answer;
    }

    public Errno Flush()
    {
        Interlocked.Increment(ref _flushes);
        return Answer;
    }

    public void Dispose()
    {
    }

    private bool Check(ulong offset, ulong length)
    {
        if (offset <= Length && length <= Length - offset)
        {
            return Answer == Errno.None;
        }

        Interlocked.Increment(ref _outside);
        return false;
    }
}
