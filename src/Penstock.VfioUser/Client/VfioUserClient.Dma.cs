using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>DMA_MAP and DMA_UNMAP.</content>
public sealed partial class VfioUserClient
{
    private readonly Lock _ownGate = new();
    private volatile SoftwareDomain? _ownMemory;

    /// <summary>DMA_MAP of memory with a descriptor.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="size">Length in bytes.</param>
    /// <param name="access">What the device may do.</param>
    /// <param name="memory">The memory; stays the caller's.</param>
    /// <param name="offset">Where in the memory.</param>
    /// <exception cref="VfioException">The server's error.</exception>
    public void MapDma(ulong iova, ulong size, DmaAccess access, MemoryFile memory, ulong offset = 0)
    {
        ArgumentNullException.ThrowIfNull(memory);
        MapDma(iova, size, access, memory.Descriptor, offset);
    }

    /// <summary>DMA_MAP of memory without a descriptor: the server reaches it by messages, which this client serves.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="size">Length in bytes.</param>
    /// <param name="access">What the device may do.</param>
    /// <param name="memory">The memory; the mapping holds a reference of its own.</param>
    /// <param name="offset">Where in the memory.</param>
    /// <exception cref="VfioException">EEXIST: something is mapped there; EFAULT: not inside the memory; the server's error.</exception>
    public void MapDma(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong offset = 0)
    {
        SoftwareDomain domain = OwnMemory();
        domain.Map(iova, size, access, memory, offset);
        try
        {
            MapDma(iova, size, access, (OwnedDescriptor?)null, 0);
        }
        catch
        {
            domain.Unmap(new IovaRange(iova, iova + (size - 1)));
            throw;
        }
    }

    /// <summary>DMA_UNMAP. When it returns the server does not touch the memory any more, or the connection is over.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="size">Length in bytes.</param>
    /// <exception cref="VfioException">The server's error.</exception>
    public void UnmapDma(ulong iova, ulong size)
    {
        var unmap = new VfioUserDmaUnmap { ArgumentSize = VfioUserDmaUnmap.Length, Iova = iova, Size = size };
        VfioUserDmaUnmap echo = default;

        // A server without DMA answers with nothing.
        Run(new ClientCall
        {
            Command = VfioUserCommand.DmaUnmap,
            Head = MemoryMarshal.AsBytes(new ReadOnlySpan<VfioUserDmaUnmap>(ref unmap)),
            ReplyHead = MemoryMarshal.AsBytes(new Span<VfioUserDmaUnmap>(ref echo)),
            IsVital = true,
        });
        ForgetOwn(iova, size);
    }

    /// <summary>DMA_UNMAP that asks what the device has written there; DMA logging must be on.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="size">Length in bytes.</param>
    /// <param name="pageSize">Bytes that one bit stands for: a power of two, at least 4096.</param>
    /// <returns>The bitmap, in words of 64 bits; bit 0 is the page at the first address.</returns>
    /// <exception cref="VfioException">The server's error; EMSGSIZE: the bitmap is longer than a message.</exception>
    public ulong[] UnmapDma(ulong iova, ulong size, ulong pageSize)
    {
        ArgumentOutOfRangeException.ThrowIfZero(pageSize);
        ulong[] bitmap = new ulong[WordsFor(VfioUserCommand.DmaUnmap, size, pageSize)];
        Span<byte> request = stackalloc byte[VfioUserDmaUnmap.Length + VfioUserBitmap.Length];
        Span<byte> echo = stackalloc byte[request.Length];
        int bytes = bitmap.Length * sizeof(ulong);
        MemoryMarshal.Write(request, new VfioUserDmaUnmap
        {
            ArgumentSize = (uint)(request.Length + bytes),
            Flags = VfioUserDmaUnmapFlags.GetDirtyBitmap,
            Iova = iova,
            Size = size,
        });
        MemoryMarshal.Write(request[VfioUserDmaUnmap.Length..], new VfioUserBitmap { PageSize = pageSize, Size = (ulong)bytes });
        Run(new ClientCall
        {
            Command = VfioUserCommand.DmaUnmap,
            Head = request,
            ReplyHead = echo,
            ReplyData = MemoryMarshal.AsBytes(bitmap.AsSpan()),
            LeastReply = request.Length + bytes,
            IsVital = true,
        });
        ForgetOwn(iova, size);
        return bitmap;
    }

    internal void MapDma(ulong iova, ulong size, DmaAccess access, OwnedDescriptor? file, ulong offset)
    {
        var map = new VfioUserDmaMap
        {
            ArgumentSize = VfioUserDmaMap.Length,
            Flags = (VfioUserDmaMapFlags)access,
            FileOffset = offset,
            Iova = iova,
            Size = size,
        };
        int descriptor = file?.Value ?? -1;
        if (file is null)
        {
            _connection.ServeCommands();
        }
        else
        {
            _connection.ExpectCommands();
        }

        Run(new ClientCall
        {
            Command = VfioUserCommand.DmaMap,
            Head = MemoryMarshal.AsBytes(new ReadOnlySpan<VfioUserDmaMap>(ref map)),
            Descriptors = file is null ? [] : new ReadOnlySpan<int>(ref descriptor),
            IsVital = true,
        });
    }

    /// <summary>Words of a bitmap that has to fit into one message.</summary>
    private static int WordsFor(VfioUserCommand command, ulong size, ulong pageSize)
    {
        const ulong BitsInWord = 64;
        ulong words = size == 0 ? 0 : ((size - 1) / pageSize / BitsInWord) + 1;
        return words <= MostBitmapWords
            ? (int)words
            : throw new VfioException(Errno.EMSGSIZE, command.ToString(), $"0x{size:x} bytes in pages of 0x{pageSize:x} need a bitmap of {words} words; ask for at most {MostBitmapWords}");
    }

    private SoftwareDomain OwnMemory()
    {
        lock (_ownGate)
        {
            return _ownMemory ??= new SoftwareDomain(IovaRange.All, VfioUserLimits.DefaultPageSizes, _options.Ledger);
        }
    }

    private void ForgetOwn(ulong iova, ulong size)
    {
        if (size != 0)
        {
            _ownMemory?.Unmap(new IovaRange(iova, iova + (size - 1)));
        }
    }
}
