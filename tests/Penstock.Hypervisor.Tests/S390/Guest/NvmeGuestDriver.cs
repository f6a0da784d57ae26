using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>
/// What a guest's kernel does with an NVMe controller on this machine: finds it by CLP, switches it on, registers interrupts and tables, and sends admin
/// commands. It uses instructions and its own memory, and nothing else.
/// </summary>
internal sealed class NvmeGuestDriver
{
    public const ulong SubmissionIova = ZpciLimits.StartDma;
    public const ulong CompletionIova = ZpciLimits.StartDma + 0x1000;
    public const ulong DataIova = ZpciLimits.StartDma + 0x2000;
    public const ulong DataAddress = 0x20_2000;

    private const ulong TablesAddress = 0x10_0000;
    private const ulong SubmissionAddress = 0x20_0000;
    private const ulong CompletionAddress = 0x20_1000;
    private const int Entries = 16;
    private const uint EntrySizes = (6 << 16) | (4 << 20);
    private const byte Configuration = ZpciRegister.ConfigurationSpace;

    private readonly ZpciGuestRig _rig;
    private uint _handle;
    private int _sent;

    public NvmeGuestDriver(ZpciGuestRig rig)
    {
        _rig = rig;
        Tables = new GuestIoTables(rig.Memory, TablesAddress);
    }

    public GuestIoTables Tables { get; }

    public uint Handle => _handle;

    /// <summary>Finds the first function and switches it on.</summary>
    public void Enable()
    {
        byte[] list = new byte[ZpciLimits.ClpRequest];
        new ZpciClpHeader { BlockLength = ZpciLimits.ClpRequest, Code = (ushort)ZpciClpCommand.ListPci }.Write(list);
        byte[] answer = _rig.Clp(list, 8160, out _);
        ZpciClpListEntry entry = ZpciClpListEntry.Read(answer.AsSpan(ZpciClpListResponse.Length));
        Assert.Equal(ZpciClpListEntry.Configured, entry.Configuration);
        Assert.Equal(ZpciClpResponse.Ok, _rig.Set(entry.Handle, ZpciSetOperation.Enable, 1, out _handle));
        _sent = 0;
    }

    public ZpciConditionCode Modify(ZpciModifyOperation operation, ZpciFib fib = default)
    {
        fib.Write(_rig.Memory.Span(ZpciGuestRig.FibAddress, ZpciFib.Length));
        return _rig.Bus.ModifyControls(ZpciGuestRig.Request(_handle, 0, (int)operation), ZpciGuestRig.FibAddress).ConditionCode;
    }

    /// <summary>Registers tables and interrupts, and maps the admin queues.</summary>
    public void Register()
    {
        Assert.Equal(ZpciConditionCode.Done, Modify(ZpciModifyOperation.RegisterIoat, ControlsTests.Ioat(Tables.Iota)));
        Assert.Equal(ZpciConditionCode.Done, Modify(ZpciModifyOperation.RegisterInterrupts, ControlsTests.Interrupts()));
        Assert.Equal(ZpciConditionCode.Done, Map(SubmissionIova, SubmissionAddress).ConditionCode);
        Assert.Equal(ZpciConditionCode.Done, Map(CompletionIova, CompletionAddress).ConditionCode);
        ulong capability = FindMsix();
        uint place = Load(Configuration, capability + PciMsix.Table, 4);
        var bar = (byte)(place & PciMsix.BarMask);
        ulong table = place & ~PciMsix.BarMask;
        Store(bar, table, 4, unchecked((uint)ZpciLimits.MsiAddress));
        Store(bar, table + 4, 4, (uint)(ZpciLimits.MsiAddress >> 32));
        Store(bar, table + 8, 4, 0);
        Store(bar, table + 12, 4, 0);
        Store(Configuration, capability + PciMsix.Control, 2, PciMsix.Enable);
    }

    public ZpciResult Map(ulong iova, ulong address, bool writable = true)
    {
        Tables.Map(iova, address, writable);
        return Refresh(iova);
    }

    public ZpciResult Unmap(ulong iova)
    {
        Tables.Unmap(iova);
        return Refresh(iova);
    }

    public ZpciResult Refresh(ulong iova, ulong length = 0x1000) => _rig.Bus.Refresh(2, ZpciGuestRig.Request(_handle), iova, length);

    /// <summary>Starts the controller.</summary>
    public void Start()
    {
        _rig.Memory.Span(CompletionAddress, 0x1000).Clear();
        Store(0, NvmeRegisters.Configuration, 4, 0);
        WaitFor(() => (Load(0, NvmeRegisters.Status, 4) & 1) == 0);
        Store(0, NvmeRegisters.AdminQueueAttributes, 4, ((Entries - 1) << 16) | (Entries - 1));
        Store64(0, NvmeRegisters.AdminSubmissionQueue, SubmissionIova);
        Store64(0, NvmeRegisters.AdminCompletionQueue, CompletionIova);
        Store(0, NvmeRegisters.Configuration, 4, EntrySizes | 1);
        WaitFor(() => (Load(0, NvmeRegisters.Status, 4) & 1) != 0);
    }

    /// <summary>Sends Identify of the controller and waits for its completion, by interruption.</summary>
    public NvmeCompletion Identify()
    {
        var command = new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.Identify,
            CommandId = (ushort)_sent,
            Prp1 = DataIova,
            Cdw10 = (uint)NvmeIdentifyCns.Controller,
        };
        MemoryMarshal.Write(_rig.Memory.Span(SubmissionAddress + (ulong)(_sent * NvmeCommand.Length), NvmeCommand.Length), command);
        int before = _rig.Injected.Count;
        _rig.Memory.Write(ZpciGuestRig.Summary, [0]);
        _rig.Memory.Write(ZpciGuestRig.Vector, [0]);
        ulong place = CompletionAddress + (ulong)(_sent * NvmeCompletion.Length);
        _sent++;
        Store(0, NvmeRegisters.Doorbells, 4, (uint)_sent);
        WaitFor(() => _rig.Injected.Count > before);
        NvmeCompletion done = MemoryMarshal.Read<NvmeCompletion>(_rig.Memory.Span(place, NvmeCompletion.Length));
        Assert.Equal(NvmeCompletion.Phase, done.StatusAndPhase & NvmeCompletion.Phase);
        Store(0, NvmeRegisters.Doorbells + NvmeRegisters.DoorbellSize, 4, (uint)_sent);
        return done;
    }

    public void Store(byte space, ulong offset, int length, uint value) => Assert.Equal(
        ZpciConditionCode.Done,
        _rig.Bus.Store(2, ZpciGuestRig.Request(_handle, space, length), offset, Swap(value, length)).ConditionCode);

    public uint Load(byte space, ulong offset, int length)
    {
        ZpciResult loaded = _rig.Bus.Load(2, ZpciGuestRig.Request(_handle, space, length), offset);
        Assert.Equal(ZpciConditionCode.Done, loaded.ConditionCode);
        return (uint)Swap(loaded.Value, length);
    }

    private static ulong Swap(ulong value, int length) => BinaryPrimitives.ReverseEndianness(value) >> ((8 - length) * 8);

    private static void WaitFor(Func<bool> condition) => Assert.True(SpinWait.SpinUntil(condition, HypervisorRig.Patience), "the controller does not answer");

    private void Store64(byte space, ulong offset, ulong value) => Assert.Equal(
        ZpciConditionCode.Done, _rig.Bus.Store(2, ZpciGuestRig.Request(_handle, space, 8), offset, Swap(value, 8)).ConditionCode);

    private ulong FindMsix()
    {
        ulong at = Load(Configuration, PciConfigOffsets.CapabilityPointer, 1);
        while (Load(Configuration, at, 1) != (uint)PciCapabilityId.Msix)
        {
            at = Load(Configuration, at + 1, 1);
            Assert.NotEqual(0ul, at);
        }

        return at;
    }
}
