using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <summary>What a controller says about a namespace (Identify Namespace, NVM Express base specification 1.4, section 5.15.2.2).</summary>
public sealed class NvmeNamespaceInfo
{
    private const int SmallestBlockShift = 9;
    private const int LargestBlockShift = 16;

    internal NvmeNamespaceInfo(uint id, ReadOnlySpan<byte> data)
    {
        Id = id;
        Blocks = BinaryPrimitives.ReadUInt64LittleEndian(data[NvmeIdentifyNamespace.Size..]);
        int format = data[NvmeIdentifyNamespace.Format] & NvmeIdentifyNamespace.FormatMask;
        uint described = BinaryPrimitives.ReadUInt32LittleEndian(data[(NvmeIdentifyNamespace.LbaFormats + (format * NvmeIdentifyNamespace.LbaFormatSize))..]);
        int shift = (int)(described >> NvmeIdentifyNamespace.LbaFormatBlockShift) & byte.MaxValue;
        if (Blocks == 0 || shift is < SmallestBlockShift or > LargestBlockShift || (ushort)described != 0)
        {
            throw new VfioException(
                Errno.ENODEV,
                $"namespace {id}",
                $"{Blocks} blocks of 2^{shift} bytes with {(ushort)described} bytes of metadata each; blocks must be there, of 512 bytes to 64 KiB, without metadata");
        }

        BlockSize = 1 << shift;
        IsWriteProtected = (data[NvmeIdentifyNamespace.Attributes] & NvmeIdentifyNamespace.WriteProtected) != 0;
        ReadsZeroAfterDeallocate = (data[NvmeIdentifyNamespace.DeallocateFeatures] & NvmeIdentifyNamespace.DeallocatedReadsMask)
            == NvmeIdentifyNamespace.DeallocatedReadsZero;
    }

    /// <summary>Its id.</summary>
    public uint Id { get; }

    /// <summary>How many blocks it has.</summary>
    public ulong Blocks { get; }

    /// <summary>Bytes of a block.</summary>
    public int BlockSize { get; }

    /// <summary>Whether it takes no writes.</summary>
    public bool IsWriteProtected { get; }

    /// <summary>Whether blocks that were deallocated read as zeroes.</summary>
    public bool ReadsZeroAfterDeallocate { get; }
}
