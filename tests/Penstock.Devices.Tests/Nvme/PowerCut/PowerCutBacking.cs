using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>
/// A disk with a cache that loses power: what is written goes to the cache, a flush brings it to the medium, and at a random moment, also in
/// the middle of a write or a flush, the power fails. Then a random part of the cache is on the medium, sector by sector and in any order.
/// </summary>
internal sealed class PowerCutBacking(byte[] medium, Random random, int callsUntilCut, PowerCutLie lie = PowerCutLie.None, bool blocks = true) : INvmeBacking
{
    public const int Sector = 512;

    private readonly Lock _gate = new();
    private readonly byte[] _cache = [.. medium];
    private readonly List<(long Number, int Sector, byte[] Data)> _unsynced = [];
    private long _number;
    private int _left = callsUntilCut;
    private bool _dead;
    private long _flushes;

    public ulong Length => (ulong)medium.Length;

    public bool IsReadOnly => false;

    public bool MayBlock => blocks;

    public bool CanDeallocate => true;

    public string Description => "a disk that loses power";

    public long FlushCount => Interlocked.Read(ref _flushes);

    public bool IsDead
    {
        get
        {
            lock (_gate)
            {
                return _dead;
            }
        }
    }

    public Errno Read(ulong offset, Span<byte> destination)
    {
        lock (_gate)
        {
            if (IsCut())
            {
                return Errno.EIO;
            }

            _cache.AsSpan((int)offset, destination.Length).CopyTo(destination);
            return Errno.None;
        }
    }

    public Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        lock (_gate)
        {
            bool before = _dead;
            if (IsCut())
            {
                // In the middle of it: some of its sectors have come as far as the cache.
                Keep(before ? 0 : random.Next((source.Length / Sector) + 1), offset, source);
                return Errno.EIO;
            }

            Keep(source.Length / Sector, offset, source);
            return Errno.None;
        }
    }

    public Errno Zero(ulong offset, ulong length, bool deallocate) => Write(offset, new byte[length]);

    public Errno Flush()
    {
        long upTo;
        lock (_gate)
        {
            if (IsCut())
            {
                return Errno.EIO;
            }

            upTo = _number;
        }

        // The others go on meanwhile.
        Thread.Yield();
        lock (_gate)
        {
            if (IsCut())
            {
                return Errno.EIO;
            }

            foreach ((_, int sector, byte[] data) in _unsynced.Where(u => u.Number <= upTo && !IsForgotten()))
            {
                data.CopyTo(medium, sector * Sector);
            }

            if (lie != PowerCutLie.FlushDoesNothing)
            {
                _unsynced.RemoveAll(u => u.Number <= upTo);
            }

            Interlocked.Increment(ref _flushes);
            return Errno.None;
        }
    }

    /// <summary>The power fails now, if it has not yet.</summary>
    public void Cut()
    {
        lock (_gate)
        {
            _dead = true;
        }
    }

    /// <summary>What is on the medium after the power has failed.</summary>
    public byte[] Remains()
    {
        lock (_gate)
        {
            _dead = true;
            int share = random.Next(101);
            (long Number, int Sector, byte[] Data)[] left = [.. _unsynced.Where(_ => random.Next(100) < share)];
            random.Shuffle(left);
            foreach ((_, int sector, byte[] data) in left)
            {
                data.CopyTo(medium, sector * Sector);
            }

            return medium;
        }
    }

    public void Dispose()
    {
    }

    private void Keep(int sectors, ulong offset, ReadOnlySpan<byte> source)
    {
        _number++;
        int first = (int)(offset / Sector);
        source[..(sectors * Sector)].CopyTo(_cache.AsSpan((int)offset));
        for (int i = 0; i < sectors; i++)
        {
            _unsynced.Add((_number, first + i, source.Slice(i * Sector, Sector).ToArray()));
        }
    }

    private bool IsForgotten() => lie switch
    {
        PowerCutLie.FlushDoesNothing => true,
        PowerCutLie.FlushForgetsSome => random.Next(20) == 0,
        _ => false,
    };

    private bool IsCut()
    {
        _dead |= --_left <= 0;
        return _dead;
    }
}
