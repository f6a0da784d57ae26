using Penstock.Interop;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>A command that promises durability completes after fdatasync has returned, not before, and only when it succeeded.</summary>
public sealed class NvmeDurabilityTests : IDisposable
{
    private const uint Fua = 1u << 30;

    private readonly TemporaryFolder _folder = new();
    private readonly FileNvmeBacking _file;
    private readonly FlushGatedBacking _backing;
    private readonly NvmeRig _rig;
    private readonly NvmeHostQueue _queue;
    private readonly ulong _data;

    public NvmeDurabilityTests()
    {
        _file = FileNvmeBacking.Open(_folder.File("disk.img"), createLength: 1 << 20);
        _backing = new FlushGatedBacking(_file);
        _rig = new NvmeRig(null, _backing).Enable();
        _queue = _rig.CreatePair();
        _data = _rig.Pages();
    }

    public void Dispose()
    {
        _backing.Open();
        _rig.Dispose();
        _backing.Gate.Dispose();
        _folder.Dispose();
    }

    public static TheoryData<NvmeIoOpcode, uint> Durable => new()
    {
        { NvmeIoOpcode.Flush, 0 },
        { NvmeIoOpcode.Write, Fua },
        { NvmeIoOpcode.WriteZeroes, Fua },
        { NvmeIoOpcode.Read, Fua },
    };

    [Theory]
    [MemberData(nameof(Durable))]
    public void Command_ThatPromisesDurability_WaitsForACountedSync(NvmeIoOpcode opcode, uint flags)
    {
        _backing.Close();
        _queue.Submit(Command(opcode, flags));
        NvmeRig.WaitUntil(() => _backing.IsWaiting, "the command does not ask for a sync");
        Assert.Equal(0, _file.FlushCount);

        // Others go on meanwhile, and come back first.
        ushort other = _queue.Submit(Command(NvmeIoOpcode.Read, 0));
        NvmeCompletion first = _queue.CompletionRing.Take();
        Assert.Equal((other, NvmeStatus.Success), (first.CommandId, first.Status));
        Assert.False(_queue.CompletionRing.TryTake(out _));

        _backing.Open();
        Assert.Equal(NvmeStatus.Success, _queue.CompletionRing.Take().Status);
        Assert.Equal(1, _file.FlushCount);
    }

    [Theory]
    [InlineData(NvmeIoOpcode.Write)]
    [InlineData(NvmeIoOpcode.WriteZeroes)]
    [InlineData(NvmeIoOpcode.Read)]
    [InlineData(NvmeIoOpcode.Compare)]
    public void Command_ThatPromisesNothing_DoesNotSync(NvmeIoOpcode opcode)
    {
        _queue.Ok(Command(opcode, 0));
        Assert.Equal(0, _file.FlushCount);
    }

    [Theory]
    [InlineData(NvmeIoOpcode.Write, 1)]
    [InlineData(NvmeIoOpcode.WriteZeroes, 1)]
    [InlineData(NvmeIoOpcode.Read, 0)]
    public void WriteCache_TurnedOff_EveryWriteSyncs(NvmeIoOpcode opcode, int syncs)
    {
        _rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (byte)NvmeFeatureId.VolatileWriteCache });
        _queue.Ok(Command(opcode, 0));
        Assert.Equal(syncs, _file.FlushCount);
    }

    [Theory]
    [InlineData(true, 4, 1)]
    [InlineData(true, 0, 0)]
    [InlineData(false, 4, 0)]
    public void Deallocation_SyncsWithTheWriteCacheOffOnly(bool isOff, uint attributes, int syncs)
    {
        _rig.AdminOk(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (byte)NvmeFeatureId.VolatileWriteCache, Cdw11 = isOff ? 0u : 1u,
        });
        _rig.Ref<NvmeDatasetRange>(_data) = new NvmeDatasetRange { Blocks = 8, StartingLba = 8 };
        _queue.Ok(new NvmeCommand { Opcode = (byte)NvmeIoOpcode.DatasetManagement, NamespaceId = 1, Prp1 = _data, Cdw11 = attributes });
        Assert.Equal(_file.CanDeallocate ? syncs : 0, _file.FlushCount);
    }

    [Fact]
    public void Sync_ThatFails_FailsTheCommand()
    {
        _backing.Answer = Errno.EIO;
        Assert.Equal(NvmeStatus.WriteFault, _queue.Status(Command(NvmeIoOpcode.Flush, 0)));
        Assert.Equal(NvmeStatus.WriteFault, _queue.Status(Command(NvmeIoOpcode.Write, Fua)));
        Assert.Equal(NvmeStatus.Success, _queue.Status(Command(NvmeIoOpcode.Write, 0)));
        Assert.Equal(0, _file.FlushCount);
    }

    [Fact]
    public void Shutdown_CompletesAfterASync()
    {
        _queue.Ok(Command(NvmeIoOpcode.Write, 0));
        _backing.Close();
        _rig.Write32(NvmeRegisters.Configuration, (NvmeRig.Enabled with { Shutdown = NvmeShutdown.Normal }).Value);
        NvmeRig.WaitUntil(() => _backing.IsWaiting, "the shutdown does not ask for a sync");
        Assert.Equal(NvmeShutdownStatus.Occurring, _rig.Status.ShutdownStatus);
        _backing.Open();
        NvmeRig.WaitUntil(() => _rig.Status.ShutdownStatus == NvmeShutdownStatus.Complete, "the shutdown does not complete");
        Assert.Equal(1, _file.FlushCount);
    }

    private NvmeCommand Command(NvmeIoOpcode opcode, uint flags)
    {
        NvmeCommand command = NvmeRig.Io(opcode, 8, 1, _data);
        command.Cdw12 |= flags;
        return opcode == NvmeIoOpcode.Flush ? new NvmeCommand { NamespaceId = 1 } : command;
    }
}
