using System.Buffers.Binary;
using System.Text;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>Answers Identify (NVM Express base specification 1.4, section 5.15). May be used from any thread.</summary>
internal sealed class NvmeIdentify(NvmeIdentity identity, NvmeNamespace disk)
{
    /// <summary>Notices that the controller can give, as OAES has them.</summary>
    public const NvmeAsyncEventConfiguration Events = NvmeAsyncEventConfiguration.NamespaceAttributes;

    /// <summary>Centiwatts of the one power state.</summary>
    private const ushort MaxPower = 2500;

    private const ushort WarningTemperature = 343;
    private const ushort CriticalTemperature = 353;
    private const ushort ControllerId = 1;
    private const int DescriptorHeader = 4;
    private const byte EntrySizes = (NvmeCommand.LengthShift << NvmeIdentifyController.EntrySizeHighShift) | NvmeCommand.LengthShift;
    private const byte CompletionSizes = (NvmeCompletion.LengthShift << NvmeIdentifyController.EntrySizeHighShift) | NvmeCompletion.LengthShift;

    /// <summary>Carries Identify out.</summary>
    /// <param name="command">A private copy of the command.</param>
    /// <param name="page">Receives the 4096 bytes.</param>
    /// <param name="usesPin">
    /// Whether the host is interrupted by the pin. Then shadow doorbells are not offered: a driver that leaves its heads in memory accesses
    /// no register after an interrupt, so its VMM would take the pin for unanswered and interrupt without an end.
    /// </param>
    /// <returns>Success, or what is wrong with the command; then the page is not to be used.</returns>
    public NvmeStatus Answer(in NvmeCommand command, Span<byte> page, bool usesPin = false)
    {
        page = page[..NvmeLimits.IdentifySize];
        page.Clear();
        uint id = command.NamespaceId;
        bool nvm = command.Cdw11 >> NvmeIdentifyBits.CommandSetShift == NvmeLimits.NvmCommandSetId;
        switch ((NvmeIdentifyCns)(command.Cdw10 & NvmeIdentifyBits.CnsMask))
        {
            case NvmeIdentifyCns.Namespace when id == disk.Id:
                FillNamespace(page);
                return NvmeStatus.Success;
            case NvmeIdentifyCns.Controller:
                FillController(page, usesPin);
                return NvmeStatus.Success;
            case NvmeIdentifyCns.ActiveNamespaces:
            case NvmeIdentifyCns.CommandSetActiveNamespaces when nvm:
                return FillList(page, id);
            case NvmeIdentifyCns.NamespaceDescriptors when id == disk.Id:
                FillDescriptors(page);
                return NvmeStatus.Success;
            case NvmeIdentifyCns.CommandSetNamespace when nvm && id == disk.Id:
                // No protection information, which is all that stands there.
                return NvmeStatus.Success;
            case NvmeIdentifyCns.CommandSetController when nvm:
                // No limits beside those of the commands themselves.
                return NvmeStatus.Success;
            case NvmeIdentifyCns.AttachedControllers when id == disk.Id:
            case NvmeIdentifyCns.Controllers:
                FillControllers(page, (ushort)(command.Cdw10 >> NvmeIdentifyBits.ControllerIdShift));
                return NvmeStatus.Success;
            case NvmeIdentifyCns.Namespace:
            case NvmeIdentifyCns.NamespaceDescriptors:
            case NvmeIdentifyCns.CommandSetNamespace when nvm:
            case NvmeIdentifyCns.AttachedControllers:
                return NvmeStatus.InvalidNamespace;
            default:
                return NvmeStatus.InvalidField;
        }
    }

    private static void PutText(Span<byte> field, string text)
    {
        field.Fill((byte)' ');
        Encoding.ASCII.GetBytes(text.AsSpan(0, Math.Min(text.Length, field.Length)), field);
    }

    private static void Put16(Span<byte> page, int offset, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(page[offset..], value);

    private static void Put32(Span<byte> page, int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(page[offset..], value);

    private static void Put64(Span<byte> page, int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(page[offset..], value);

    private static void FillControllers(Span<byte> page, ushort from)
    {
        if (from <= ControllerId)
        {
            Put16(page, 0, 1);
            Put16(page, sizeof(ushort), ControllerId);
        }
    }

    /// <summary>Puts the head of a descriptor, moves on behind it, and gives the place of its value.</summary>
    private static Span<byte> PutDescriptor(ref Span<byte> page, NvmeNamespaceIdType type, int length)
    {
        page[0] = (byte)type;
        page[1] = (byte)length;
        Span<byte> value = page.Slice(DescriptorHeader, length);
        page = page[(DescriptorHeader + length)..];
        return value;
    }

    private void FillController(Span<byte> page, bool usesPin)
    {
        Put16(page, NvmeIdentifyController.VendorId, identity.VendorId);
        Put16(page, NvmeIdentifyController.SubsystemVendorId, identity.SubsystemVendorId);
        PutText(page.Slice(NvmeIdentifyController.SerialNumber, NvmeIdentifyController.SerialNumberLength), identity.SerialNumber);
        PutText(page.Slice(NvmeIdentifyController.ModelNumber, NvmeIdentifyController.ModelNumberLength), identity.ModelNumber);
        PutText(page.Slice(NvmeIdentifyController.FirmwareRevision, NvmeIdentifyController.FirmwareRevisionLength), identity.FirmwareRevision);
        page[NvmeIdentifyController.MaxTransfer] = identity.MaxTransferShift;
        Put16(page, NvmeIdentifyController.ControllerId, ControllerId);
        Put32(page, NvmeIdentifyController.Version, identity.Version);
        Put32(page, NvmeIdentifyController.AsyncEvents, (uint)Events);
        page[NvmeIdentifyController.ControllerType] = NvmeIdentifyController.IoController;
        Put16(page, NvmeIdentifyController.AdminCommands, identity.DoorbellBuffer && !usesPin ? NvmeIdentifyController.OacsDoorbellBuffer : (ushort)0);
        page[NvmeIdentifyController.AbortLimit] = (byte)(identity.AbortLimit - 1);
        page[NvmeIdentifyController.AsyncEventLimit] = (byte)(identity.AsyncEventLimit - 1);
        page[NvmeIdentifyController.Firmware] = (1 << NvmeIdentifyController.FrmwSlotsShift) | NvmeIdentifyController.FrmwSlot1ReadOnly;
        page[NvmeIdentifyController.LogAttributes] = NvmeIdentifyController.LpaEffects | NvmeIdentifyController.LpaExtended;
        page[NvmeIdentifyController.ErrorLogEntries] = NvmeErrorLog.Entries - 1;
        Put16(page, NvmeIdentifyController.WarningTemperature, WarningTemperature);
        Put16(page, NvmeIdentifyController.CriticalTemperature, CriticalTemperature);
        page[NvmeIdentifyController.SubmissionEntrySize] = EntrySizes;
        page[NvmeIdentifyController.CompletionEntrySize] = CompletionSizes;
        Put32(page, NvmeIdentifyController.Namespaces, disk.Id);
        Put16(
            page,
            NvmeIdentifyController.NvmCommands,
            NvmeIdentifyController.OncsCompare | NvmeIdentifyController.OncsDatasetManagement | NvmeIdentifyController.OncsWriteZeroes
                | NvmeIdentifyController.OncsSaveSelect);

        // All namespaces are the one that there is, so a flush of all is no more than a flush.
        page[NvmeIdentifyController.VolatileWriteCache] =
            disk.HasWriteCache ? (byte)(NvmeIdentifyController.VwcPresent | NvmeIdentifyController.VwcFlushAll) : NvmeIdentifyController.VwcFlushAll;
        Encoding.UTF8.GetBytes($"nqn.2014-08.org.nvmexpress:uuid:{disk.Uuid}", page[NvmeIdentifyController.SubsystemName..]);
        Put16(page, NvmeIdentifyController.PowerStateDescriptors, MaxPower);
    }

    private void FillNamespace(Span<byte> page)
    {
        Put64(page, NvmeIdentifyNamespace.Size, disk.Blocks);
        Put64(page, NvmeIdentifyNamespace.Capacity, disk.Blocks);
        Put64(page, NvmeIdentifyNamespace.Utilization, disk.Blocks);
        page[NvmeIdentifyNamespace.Features] = NvmeIdentifyNamespace.FeatureOptimalIo;
        if (disk.Backing.CanDeallocate)
        {
            page[NvmeIdentifyNamespace.DeallocateFeatures] =
                NvmeIdentifyNamespace.DeallocatedReadsZero | NvmeIdentifyNamespace.DeallocateByWriteZeroes;
        }

        // The page cache and file systems work in pages: what is smaller has to be read before it is written.
        ushort preferred = (ushort)((NvmeLimits.PageSize >> disk.BlockShift) - 1);
        Put16(page, NvmeIdentifyNamespace.PreferredWriteGranularity, preferred);
        Put16(page, NvmeIdentifyNamespace.PreferredWriteAlignment, preferred);
        Put16(page, NvmeIdentifyNamespace.PreferredDeallocateGranularity, preferred);
        Put16(page, NvmeIdentifyNamespace.PreferredDeallocateAlignment, preferred);
        Put16(page, NvmeIdentifyNamespace.OptimalWriteSize, preferred);
        Put64(page, NvmeIdentifyNamespace.NvmCapacity, disk.Backing.Length);
        page[NvmeIdentifyNamespace.Attributes] = disk.IsReadOnly ? NvmeIdentifyNamespace.WriteProtected : (byte)0;
        PutUuid(page[NvmeIdentifyNamespace.Nguid..]);
        Put64(page, NvmeIdentifyNamespace.Eui64, disk.Eui64);
        Put32(page, NvmeIdentifyNamespace.LbaFormats, (uint)disk.BlockShift << NvmeIdentifyNamespace.LbaFormatBlockShift);
    }

    private NvmeStatus FillList(Span<byte> page, uint after)
    {
        if (after > NvmeLimits.LastNamespaceListStart)
        {
            return NvmeStatus.InvalidNamespace;
        }

        Put32(page, 0, after < disk.Id ? disk.Id : 0);
        return NvmeStatus.Success;
    }

    private void FillDescriptors(Span<byte> page)
    {
        Span<byte> eui = PutDescriptor(ref page, NvmeNamespaceIdType.Eui64, NvmeIdentifyNamespace.Eui64Length);
        Put64(eui, 0, disk.Eui64);
        PutUuid(PutDescriptor(ref page, NvmeNamespaceIdType.Nguid, NvmeIdentifyNamespace.NguidLength));
        PutUuid(PutDescriptor(ref page, NvmeNamespaceIdType.Uuid, NvmeIdentifyNamespace.NguidLength));
        PutDescriptor(ref page, NvmeNamespaceIdType.CommandSet, sizeof(byte))[0] = NvmeLimits.NvmCommandSetId;
    }

    /// <summary>NGUID and UUID are big-endian.</summary>
    private void PutUuid(Span<byte> at) => disk.Uuid.TryWriteBytes(at, bigEndian: true, out _);
}
