using System.Buffers.Binary;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>The log page that tells where the controller's time goes.</summary>
public sealed class NvmeTimesTests
{
    private const int Commands = 4000;

    // One look at the doorbells in so many is timed, and here there is one for each command or several.
    private const int Period = 61;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Log_AfterCommands_TellsWhatTheyTook(bool onWorkers)
    {
        using NvmeRig rig = new NvmeRig(new NvmeOptions { Times = true, Workers = 1 }, onWorkers ? new MeasuredBacking() : null).Enable();
        ulong page = rig.Pages(1);
        NvmeHostQueue queue = rig.CreatePair();
        Run(rig, queue, Commands / 2);
        NvmeTimesLog before = Read(rig, page);
        Run(rig, queue, Commands);
        NvmeTimesLog times = Read(rig, page).Since(before);

        Assert.InRange(times.Commands, 1ul, 4ul * Commands / Period);
        Assert.NotEqual(0ul, times.Data);
        Assert.NotEqual(0ul, times.Complete + times.Fetch);
        Assert.Equal(onWorkers ? (ulong)Commands : 0, times.WorkerCommands);
        Assert.Equal(onWorkers, times.Workers != 0);
    }

    [Fact]
    public void Log_OfADiskThatDoesNotTell_IsNone()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        ulong page = rig.Pages(1);
        Assert.Equal(NvmeStatus.InvalidLogPage, rig.AdminStatus(Ask(NvmeTimesLog.Id, NvmeTimesLog.Length, page)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void SupportedLogs_NameItWhereItIs(bool times)
    {
        using NvmeRig rig = new NvmeRig(new NvmeOptions { Times = times }).Enable();
        ulong page = rig.Pages(1);
        rig.AdminOk(Ask(NvmeLogId.SupportedPages, NvmeSupportedLogs.Length, page));
        uint entry = BinaryPrimitives.ReadUInt32LittleEndian(rig.At(page + ((ulong)NvmeTimesLog.Id * sizeof(uint)), sizeof(uint)));
        Assert.Equal(times ? NvmeSupportedLogs.Supported : 0, entry);
    }

    [Fact]
    public void Commands_ThatAreSampled_AllocateNothing()
    {
        using NvmeRig rig = new NvmeRig(new NvmeOptions { Times = true }).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        Run(rig, queue, Commands);

        // Of several windows: the runtime's own work on the thread is booked in any of them.
        Assert.Equal(0, NvmeAllocationTests.LeastOnStrand(rig, () => Run(rig, queue, Commands)));
    }

    [Fact]
    public void Page_WrittenAndRead_IsTheSame()
    {
        var log = new NvmeTimesLog
        {
            Commands = 1, Doorbells = 2, Fetch = 3, Data = 4, Complete = 5, Interrupt = 6, Other = 7, Idle = 8, WorkerCommands = 9, Workers = 10,
        };
        byte[] page = new byte[NvmeTimesLog.Length];
        log.Write(page);
        Assert.Equal(log, NvmeTimesLog.Read(page));
        Assert.Equal(default, log.Since(log));
    }

    private static void Run(NvmeRig rig, NvmeHostQueue queue, int commands)
    {
        ulong data = rig.Pages(1);
        for (int i = 0; i < commands; i++)
        {
            queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, (ulong)(i % 100), 8, data));
        }
    }

    private static NvmeTimesLog Read(NvmeRig rig, ulong page)
    {
        rig.AdminOk(Ask(NvmeTimesLog.Id, NvmeTimesLog.Length, page));
        return NvmeTimesLog.Read(rig.At(page, NvmeTimesLog.Length));
    }

    private static NvmeCommand Ask(NvmeLogId log, int length, ulong page) => new()
    {
        Opcode = (byte)NvmeAdminOpcode.GetLogPage,
        Cdw10 = (uint)log | ((uint)((length / sizeof(uint)) - 1) << 16),
        Prp1 = page,
    };
}
