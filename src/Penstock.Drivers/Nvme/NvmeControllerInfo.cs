using System.Buffers.Binary;
using System.Text;
using Penstock.Specs.Nvme;

namespace Penstock.Drivers;

/// <summary>What a controller says about itself (Identify Controller, NVM Express base specification 1.4, section 5.15.2.1).</summary>
public sealed class NvmeControllerInfo
{
    /// <summary>Pages shifted by more fill no int, and are no limit that matters.</summary>
    private const int LargestShift = 18;

    internal NvmeControllerInfo(ReadOnlySpan<byte> data, NvmeCapabilities capabilities, uint version)
    {
        Capabilities = capabilities;
        Version = new Version((int)(version >> 16), (int)(version >> 8 & byte.MaxValue), (int)(version & byte.MaxValue));
        VendorId = BinaryPrimitives.ReadUInt16LittleEndian(data[NvmeIdentifyController.VendorId..]);
        SerialNumber = Text(data.Slice(NvmeIdentifyController.SerialNumber, NvmeIdentifyController.SerialNumberLength));
        Model = Text(data.Slice(NvmeIdentifyController.ModelNumber, NvmeIdentifyController.ModelNumberLength));
        Firmware = Text(data.Slice(NvmeIdentifyController.FirmwareRevision, NvmeIdentifyController.FirmwareRevisionLength));
        Namespaces = BinaryPrimitives.ReadUInt32LittleEndian(data[NvmeIdentifyController.Namespaces..]);
        NvmCommands = BinaryPrimitives.ReadUInt16LittleEndian(data[NvmeIdentifyController.NvmCommands..]);
        AdminCommands = BinaryPrimitives.ReadUInt16LittleEndian(data[NvmeIdentifyController.AdminCommands..]);
        HasVolatileWriteCache = (data[NvmeIdentifyController.VolatileWriteCache] & NvmeIdentifyController.VwcPresent) != 0;
        ShutdownTime = TimeSpan.FromMicroseconds(BinaryPrimitives.ReadUInt32LittleEndian(data[NvmeIdentifyController.EntryLatency..]));

        int shift = data[NvmeIdentifyController.MaxTransfer];
        MaxTransfer = shift is 0 or > LargestShift ? int.MaxValue : NvmeLimits.PageSize << shift;
    }

    /// <summary>CAP.</summary>
    public NvmeCapabilities Capabilities { get; }

    /// <summary>VS.</summary>
    public Version Version { get; }

    /// <summary>PCI vendor id.</summary>
    public ushort VendorId { get; }

    /// <summary>Serial number.</summary>
    public string SerialNumber { get; }

    /// <summary>Model.</summary>
    public string Model { get; }

    /// <summary>Revision of the firmware.</summary>
    public string Firmware { get; }

    /// <summary>Largest namespace id.</summary>
    public uint Namespaces { get; }

    /// <summary>Most bytes of one command; <see cref="int.MaxValue"/> without a limit.</summary>
    public int MaxTransfer { get; }

    /// <summary>Whether writes may wait in a cache that a loss of power empties, until a flush.</summary>
    public bool HasVolatileWriteCache { get; }

    /// <summary>Optional NVM commands (ONCS): bits of <see cref="NvmeIdentifyController"/>.</summary>
    public ushort NvmCommands { get; }

    /// <summary>Optional admin commands (OACS): bits of <see cref="NvmeIdentifyController"/>.</summary>
    public ushort AdminCommands { get; }

    internal TimeSpan ShutdownTime { get; }

    private static string Text(ReadOnlySpan<byte> field) => Encoding.ASCII.GetString(field).TrimEnd(' ', '\0');
}
