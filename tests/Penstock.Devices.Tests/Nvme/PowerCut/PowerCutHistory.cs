using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Penstock.Devices.Tests;

/// <summary>
/// What the host knows of each sector: every version that it has issued, in order, and up to which one it was told that it is durable. A
/// sector says of itself which version it is.
/// </summary>
internal sealed class PowerCutHistory
{
    private readonly List<(int Version, bool IsZero)>[] _issued;
    private readonly int[] _completed;
    private readonly int[] _covered;
    private int _version;

    public PowerCutHistory(int sectors)
    {
        _issued = new List<(int, bool)>[sectors];
        for (int s = 0; s < sectors; s++)
        {
            _issued[s] = [(0, true)];
        }

        _completed = new int[sectors];
        _covered = new int[sectors];
    }

    public int Sectors => _issued.Length;

    /// <summary>A new version of some sectors is issued.</summary>
    /// <param name="first">First sector.</param>
    /// <param name="count">How many.</param>
    /// <param name="data">Receives it; empty for zeroes.</param>
    /// <returns>The version.</returns>
    public int Issue(int first, int count, Span<byte> data)
    {
        _version++;
        for (int s = first; s < first + count; s++)
        {
            _issued[s].Add((_version, data.IsEmpty));
            if (!data.IsEmpty)
            {
                Fill(data.Slice((s - first) * PowerCutBacking.Sector, PowerCutBacking.Sector), _version, s);
            }
        }

        return _version;
    }

    public void Complete(int first, int count, int version, bool durable)
    {
        _completed.AsSpan(first, count).Fill(version);
        if (durable)
        {
            _covered.AsSpan(first, count).Fill(version);
        }
    }

    /// <summary>What a flush that is issued now covers.</summary>
    public int[] Snapshot(bool everythingIssued) =>
        everythingIssued ? [.. _issued.Select(i => i[^1].Version)] : [.. _completed];

    public void Flushed(int[] snapshot)
    {
        for (int s = 0; s < snapshot.Length; s++)
        {
            _covered[s] = Math.Max(_covered[s], snapshot[s]);
        }
    }

    /// <summary>What is wrong with a sector that was read while nothing was written to it; null when it is the newest.</summary>
    public string? CheckNewest(int sector, ReadOnlySpan<byte> data)
    {
        (int version, bool isZero) = _issued[sector][^1];
        return Is(data, sector, version, isZero) ? null : $"sector {sector} is not version {version}, which was written last";
    }

    /// <summary>What is wrong with a sector after the power has failed; null when it may be so. From then on that is what it is.</summary>
    public string? CheckAfterCut(int sector, ReadOnlySpan<byte> data)
    {
        foreach ((int version, bool isZero) in _issued[sector])
        {
            if (version >= _covered[sector] && Is(data, sector, version, isZero))
            {
                _issued[sector].Clear();
                _issued[sector].Add((version, isZero));
                _completed[sector] = version;
                _covered[sector] = version;
                return null;
            }
        }

        return $"sector {sector} holds version {BinaryPrimitives.ReadInt32LittleEndian(data[4..])}, not one from {_covered[sector]}, which was durable, to {_issued[sector][^1].Version}";
    }

    private static bool Is(ReadOnlySpan<byte> data, int sector, int version, bool isZero)
    {
        Span<byte> expected = stackalloc byte[PowerCutBacking.Sector];
        expected.Clear();
        if (!isZero)
        {
            Fill(expected, version, sector);
        }

        return data.SequenceEqual(expected);
    }

    private static void Fill(Span<byte> data, int version, int sector)
    {
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(data);
        ulong word = ((ulong)version << 32) | (uint)sector;
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = word;
            word = (word * 6364136223846793005) + 1442695040888963407;
        }
    }
}
