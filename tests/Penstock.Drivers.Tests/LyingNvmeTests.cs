using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Drivers.Tests;

/// <summary>A controller that lies: the driver ends with an error, and works with the controller once that is honest again.</summary>
public sealed class LyingNvmeTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);
    private readonly LyingNvme _controller = new();
    private readonly InProcessSlot _slot;

    public LyingNvmeTests() => _slot = new InProcessSlot(_controller);

    public static TheoryData<string> Lies => new() { "a number that is not under way", "a number out of range", "another queue", "a head out of range", "the same twice" };

    public void Dispose() => _slot.Dispose();

    [Fact]
    public async Task Honest_WorksBothWays()
    {
        using var driver = new NvmeDriver(_slot.Device);
        driver.Read(0, new byte[512]);
        await driver.WriteAsync(0, new byte[512]).WaitAsync(Patience);
    }

    [Theory]
    [MemberData(nameof(Lies))]
    public void FalseCompletion_OfASynchronousCall_IsAnErrorAndTheControllerIsSetUpAgain(string lie)
    {
        using var driver = new NvmeDriver(_slot.Device, new NvmeDriverOptions { CommandTimeout = Patience });
        SetLie(lie);
        Errno? seen = null;
        for (int i = 0; i < 3 && seen is null; i++)
        {
            try
            {
                driver.Read(0, new byte[512]);
            }
            catch (VfioException e)
            {
                seen = e.Errno;
            }
        }

        Assert.True(seen is Errno.EIO or Errno.ECANCELED, $"{seen}");
        _controller.Lie = null;
        Assert.True(SpinWait.SpinUntil(() => driver.Resets >= 1 && driver.Failure is null, Patience), driver.Failure);
        driver.Read(0, new byte[512]);
    }

    [Theory]
    [MemberData(nameof(Lies))]
    public async Task FalseCompletion_OfAnAsynchronousCall_IsAnError(string lie)
    {
        using var driver = new NvmeDriver(_slot.Device, new NvmeDriverOptions { RecoversByItself = false, CommandTimeout = Patience });
        SetLie(lie);
        await Assert.ThrowsAsync<VfioException>(async () =>
        {
            for (int i = 0; i < 3; i++)
            {
                await driver.ReadAsync(0, new byte[512]).WaitAsync(Patience);
            }
        });
        Assert.Contains("no such command is under way", driver.Failure, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Lies))]
    public void FalseCompletion_OnAnOwnQueue_IsItsFault(string lie)
    {
        using var driver = new NvmeDriver(_slot.Device);
        using NvmeQueue queue = driver.CreateQueue(8);
        SetLie(lie);
        var completed = new NvmeCompleted[8];
        queue.TrySubmit(NvmeIoOpcode.WriteZeroes, 0, 1, 0);
        queue.TrySubmit(NvmeIoOpcode.WriteZeroes, 0, 1, 0);
        queue.Announce();
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                queue.Poll(completed);
                return !queue.IsAlive;
            },
            Patience));
        Assert.Contains("no such command is under way", queue.Fault, StringComparison.Ordinal);
        Assert.False(queue.TrySubmit(NvmeIoOpcode.WriteZeroes, 0, 1, 0));
    }

    [Fact]
    public void OwnQueue_WhoseSubmissionQueueIsRefused_LeavesNoCompletionQueue()
    {
        using var driver = new NvmeDriver(_slot.Device);
        int before = _controller.CompletionQueues;
        _controller.Refuses = static opcode => opcode == NvmeAdminOpcode.CreateSubmissionQueue;
        Assert.Equal(NvmeStatus.InvalidQueueSize, Assert.Throws<NvmeException>(() => driver.CreateQueue(8)).Status);
        Assert.Equal(before, _controller.CompletionQueues);
        _controller.Refuses = null;
        using NvmeQueue queue = driver.CreateQueue(8);
        Assert.Equal(before + 1, _controller.CompletionQueues);
        Assert.Equal(0, driver.Resets);
    }

    [Fact]
    public void OwnQueue_OfWhichHalfCannotBeTakenBack_IsForgottenByAReset()
    {
        using var driver = new NvmeDriver(_slot.Device);
        int before = _controller.CompletionQueues;
        _controller.Refuses = static opcode => opcode is NvmeAdminOpcode.CreateSubmissionQueue or NvmeAdminOpcode.DeleteCompletionQueue;
        Assert.Throws<NvmeException>(() => driver.CreateQueue(8));
        _controller.Refuses = null;
        Assert.True(SpinWait.SpinUntil(() => driver.Failure is null || driver.Resets != 0, Patience));
        driver.Reset();
        Assert.Equal(before, _controller.CompletionQueues);
    }

    [Fact]
    public void RandomCompletions_ThousandsOfThem_NeverDoMoreThanFail()
    {
        var random = new Random(7);
        var log = new List<string>();
        using NvmeDriver driver = MakeWithAShortTime();
        int failed = 0;
        _controller.Lie = completion => random.Next(20) switch
        {
            0 => null,
            1 => completion with { CommandId = (ushort)random.Next(ushort.MaxValue) },
            2 => completion with { SubmissionHead = (ushort)random.Next(ushort.MaxValue) },
            3 => completion with { StatusAndPhase = (ushort)random.Next(ushort.MaxValue) },
            4 => completion with { SubmissionQueueId = (ushort)random.Next(4) },
            _ => completion,
        };
        for (int i = 0; i < 60; i++)
        {
            try
            {
                driver.Read(0, new byte[512]);
            }
            catch (Exception e) when (e is VfioException or NvmeException)
            {
                failed++;
            }
        }

        Assert.InRange(failed, 1, 60);
        _controller.Lie = null;

        // On a busy machine an honest answer may be too late for a time that is short.
        Assert.True(SpinWait.SpinUntil(() => IsReadAfterReset(driver), Patience), driver.Failure);
    }

    /// <summary>The time may be too short for the controller's first answers, on a busy machine.</summary>
    private NvmeDriver MakeWithAShortTime()
    {
        NvmeDriver? driver = null;
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                try
                {
                    driver = new NvmeDriver(_slot.Device, new NvmeDriverOptions { CommandTimeout = TimeSpan.FromMilliseconds(500), QueueDepth = 8 });
                    return true;
                }
                catch (VfioException)
                {
                    return false;
                }
            },
            Patience));
        return driver!;
    }

    private static bool IsReadAfterReset(NvmeDriver driver)
    {
        try
        {
            driver.Reset();
            driver.Read(0, new byte[512]);
            return true;
        }
        catch (Exception e) when (e is VfioException or NvmeException)
        {
            return false;
        }
    }

    [Fact]
    public void Identify_WithBlocksThatCannotBe_IsRefusedByTheDriver()
    {
        _controller.LieAboutItself = static (what, data) =>
        {
            if (what == NvmeIdentifyCns.Namespace)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(data.AsSpan(NvmeIdentifyNamespace.LbaFormats), 60u << NvmeIdentifyNamespace.LbaFormatBlockShift);
            }
        };
        var error = Assert.Throws<VfioException>(() => new NvmeDriver(_slot.Device));
        Assert.Equal(Errno.ENODEV, error.Errno);
        Assert.Contains("2^60", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0x0000_0020_0201_0000UL, "one entry")]
    [InlineData(0x0000_0000_0201_00ffUL, "NVM command set")]
    [InlineData(0x0001_0020_0201_00ffUL, "smallest page has 8192 bytes")]
    [InlineData(0xffff_ffff_ffff_ffffUL, "does not answer")]
    public void Capabilities_ThatTheDriverCannotUse_AreRefusedWithTheReason(ulong value, string expected)
    {
        using var slot = new InProcessSlot(new LyingNvme { Capabilities = new NvmeCapabilities(value) });
        var error = Assert.Throws<VfioException>(() => new NvmeDriver(slot.Device));
        Assert.Equal(Errno.ENODEV, error.Errno);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    /// <summary>The doorbells of all queues but the admin queue's tail are past the BAR.</summary>
    [Fact]
    public void Stride_ThatTheBarDoesNotHold_EndsInAnError()
    {
        using var slot = new InProcessSlot(new LyingNvme { Capabilities = new NvmeCapabilities(0x0000_002f_0201_00ff) });
        Assert.Throws<VfioException>(() => new NvmeDriver(slot.Device, new NvmeDriverOptions { CommandTimeout = TimeSpan.FromSeconds(1) }));
    }

    /// <summary>It cannot be disabled, not even when the driver gives up: nothing of the driver's may be left all the same.</summary>
    [Fact]
    public void Controller_ThatIsNeverDisabled_IsAnErrorAndEverythingIsGivenBack()
    {
        using var slot = new InProcessSlot(new LyingNvme { StaysReady = true, LieAboutItself = static (what, data) => data.AsSpan().Clear() });
        Assert.Equal(Errno.ENODEV, Assert.Throws<VfioException>(() => new NvmeDriver(slot.Device)).Errno);
    }

    [Fact]
    public void Identify_WithBlocksLongerThanACommand_IsRefusedByTheDriver()
    {
        _controller.LieAboutItself = static (what, data) =>
        {
            if (what == NvmeIdentifyCns.Namespace)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(data.AsSpan(NvmeIdentifyNamespace.LbaFormats), 16u << NvmeIdentifyNamespace.LbaFormatBlockShift);
            }
            else if (what == NvmeIdentifyCns.Controller)
            {
                data[NvmeIdentifyController.MaxTransfer] = 1;
            }
        };
        Assert.Contains("at most 8192 bytes", Assert.Throws<VfioException>(() => new NvmeDriver(_slot.Device)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Identify_WithRandomBytes_NeverDoesMoreThanFail()
    {
        var random = new Random(3);
        _controller.LieAboutItself = (what, data) =>
        {
            if (what == NvmeIdentifyCns.Controller)
            {
                random.NextBytes(data);
            }
        };
        for (int i = 0; i < 10; i++)
        {
            try
            {
                using var driver = new NvmeDriver(_slot.Device);
                driver.Read(0, new byte[driver.Namespace.BlockSize]);
            }
            catch (Exception e) when (e is VfioException or NvmeException)
            {
                // Refused, as it may.
            }
        }
    }

    private void SetLie(string lie)
    {
        bool first = true;
        _controller.Lie = lie switch
        {
            "a number that is not under way" => static c => c with { CommandId = (ushort)(c.CommandId + 2) },
            "a number out of range" => static c => c with { CommandId = 0xffff },
            "another queue" => static c => c with { SubmissionQueueId = 77 },
            "a head out of range" => static c => c with { SubmissionHead = 0xfff0 },
            _ => c =>
            {
                // The first is honest; whatever follows says the first's number once more, or a free one.
                bool honest = first;
                first = false;
                return honest ? c : c with { CommandId = (ushort)(c.CommandId ^ 1) };
            },
        };
    }
}
