using System.Runtime.InteropServices;

namespace Penstock.Devices.Tests;

/// <summary>Data of a command in pages that do not follow one another, with the PRPs that lead there.</summary>
internal sealed class NvmeBuffer
{
    private const byte Around = 0xa5;
    private readonly NvmeRig _rig;
    private readonly int _length;
    private readonly int _offset;
    private readonly List<ulong> _pages = [];

    internal NvmeBuffer(NvmeRig rig, int length, int offset, int listOffset = 0)
    {
        _rig = rig;
        _length = length;
        _offset = offset;
        int pages = (offset + length + NvmeRig.Page - 1) / NvmeRig.Page;
        for (int i = 0; i < pages; i++)
        {
            // Every other one, the later ones before the earlier ones now and then.
            ulong two = rig.Pages(2);
            _pages.Add(two + (i % 3 == 0 ? (ulong)NvmeRig.Page : 0));
            rig.At(_pages[^1], NvmeRig.Page).Fill(Around);
        }

        Prp1 = _pages[0] + (ulong)offset;
        Prp2 = pages switch
        {
            1 => 0,
            2 => _pages[1],
            _ => MakeList(listOffset),
        };
    }

    internal ulong Prp1 { get; }

    internal ulong Prp2 { get; }

    internal void Set(ReadOnlySpan<byte> data)
    {
        for (int i = 0, done = 0; done < data.Length; i++)
        {
            Span<byte> piece = Piece(i);
            data.Slice(done, piece.Length).CopyTo(piece);
            done += piece.Length;
        }
    }

    internal byte[] Get()
    {
        var data = new List<byte>();
        for (int i = 0; i < _pages.Count; i++)
        {
            data.AddRange(Piece(i));
        }

        return [.. data];
    }

    /// <summary>Whether nothing was written before the data and behind it.</summary>
    internal bool IsIntactAround()
    {
        int end = (_offset + _length) % NvmeRig.Page;
        return !_rig.At(_pages[0], _offset).ContainsAnyExcept(Around)
            && (end == 0 || !_rig.At(_pages[^1], NvmeRig.Page)[end..].ContainsAnyExcept(Around));
    }

    private Span<byte> Piece(int i)
    {
        int start = i == 0 ? _offset : 0;
        int before = i == 0 ? 0 : (i * NvmeRig.Page) - _offset;
        return _rig.At(_pages[i], NvmeRig.Page).Slice(start, Math.Min(NvmeRig.Page - start, _length - before));
    }

    private ulong MakeList(int listOffset)
    {
        ulong list = _rig.Pages() + (ulong)listOffset;
        ulong at = list;
        for (int i = 1; i < _pages.Count; i++)
        {
            bool isLastSlot = (at & (NvmeRig.Page - 1)) == NvmeRig.Page - 8;
            if (isLastSlot && i != _pages.Count - 1)
            {
                ulong next = _rig.Pages();
                MemoryMarshal.Write(_rig.At(at, 8), next);
                at = next;
            }

            MemoryMarshal.Write(_rig.At(at, 8), _pages[i]);
            at += 8;
        }

        return list;
    }
}
