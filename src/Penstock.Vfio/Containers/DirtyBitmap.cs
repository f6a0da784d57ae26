using System.Runtime.InteropServices;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>A bitmap that receives dirty pages, in this process or behind an address of the caller.</summary>
public readonly ref struct DirtyBitmap
{
    private readonly Span<ulong> _words;
    private readonly IUserAddressSpace? _space;
    private readonly ulong _address;

    /// <summary>A bitmap in this process.</summary>
    /// <param name="words">Its words.</param>
    /// <param name="pageSize">Bytes that one bit stands for.</param>
    public DirtyBitmap(Span<ulong> words, ulong pageSize)
    {
        _words = words;
        Size = (ulong)words.Length * sizeof(ulong);
        PageSize = pageSize;
    }

    /// <summary>A bitmap of the caller.</summary>
    /// <param name="space">The caller's address space.</param>
    /// <param name="address">Address of the first word.</param>
    /// <param name="size">Size in bytes, as the caller says.</param>
    /// <param name="pageSize">Bytes that one bit stands for.</param>
    public DirtyBitmap(IUserAddressSpace space, ulong address, ulong size, ulong pageSize)
    {
        _space = space;
        _address = address;
        Size = size;
        PageSize = pageSize;
    }

    /// <summary>Bytes that one bit stands for.</summary>
    public ulong PageSize { get; }

    /// <summary>Size in bytes.</summary>
    public ulong Size { get; }

    /// <summary>Reads one word.</summary>
    /// <param name="index">Which.</param>
    /// <param name="word">Receives it.</param>
    /// <returns>None, or EFAULT.</returns>
    public Errno Read(ulong index, out ulong word)
    {
        word = 0;
        if (_space is not null)
        {
            return _space.Read(_address + (index * sizeof(ulong)), MemoryMarshal.AsBytes(new Span<ulong>(ref word)));
        }

        if (index >= (ulong)_words.Length)
        {
            return Errno.EFAULT;
        }

        word = _words[(int)index];
        return Errno.None;
    }

    /// <summary>Writes words.</summary>
    /// <param name="index">Index of the first.</param>
    /// <param name="words">The words.</param>
    /// <returns>None, or EFAULT.</returns>
    public Errno Write(ulong index, ReadOnlySpan<ulong> words)
    {
        if (_space is not null)
        {
            return _space.Write(_address + (index * sizeof(ulong)), MemoryMarshal.AsBytes(words));
        }

        if (index > (ulong)_words.Length || (ulong)words.Length > (ulong)_words.Length - index)
        {
            return Errno.EFAULT;
        }

        words.CopyTo(_words[(int)index..]);
        return Errno.None;
    }
}
