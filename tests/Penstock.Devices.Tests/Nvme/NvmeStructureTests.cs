using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>Layouts against numbers that are written here once more, from the specification.</summary>
public sealed class NvmeStructureTests
{
    [Fact]
    public void Command_BytesOfTheSpecification_AreItsFields()
    {
        byte[] entry = [.. Enumerable.Range(1, 64).Select(i => (byte)i)];
        NvmeCommand command = MemoryMarshal.Read<NvmeCommand>(entry);
        Assert.Equal(64, Marshal.SizeOf<NvmeCommand>());
        Assert.Equal((0x01, 0x02, 0x0403), (command.Opcode, (int)command.Flags, command.CommandId));
        Assert.Equal((0x08070605u, 0x0c0b0a09u, 0x100f0e0du), (command.NamespaceId, command.Cdw2, command.Cdw3));
        Assert.Equal((0x1817161514131211u, 0x201f1e1d1c1b1a19u, 0x2827262524232221u), (command.MetadataPointer, command.Prp1, command.Prp2));
        Assert.Equal((0x2c2b2a29u, 0x302f2e2du, 0x34333231u), (command.Cdw10, command.Cdw11, command.Cdw12));
        Assert.Equal((0x38373635u, 0x3c3b3a39u, 0x403f3e3du), (command.Cdw13, command.Cdw14, command.Cdw15));
        Assert.Equal(0x302f2e2d2c2b2a29u, command.StartingLba);
    }

    [Fact]
    public void Completion_BytesOfTheSpecification_AreItsFields()
    {
        byte[] entry = [.. Enumerable.Range(1, 16).Select(i => (byte)i)];
        NvmeCompletion completion = MemoryMarshal.Read<NvmeCompletion>(entry);
        Assert.Equal(16, Marshal.SizeOf<NvmeCompletion>());
        Assert.Equal((0x04030201u, 0x08070605u), (completion.Result, completion.Reserved));
        Assert.Equal((0x0a09, 0x0c0b, 0x0e0d, 0x100f), (completion.SubmissionHead, completion.SubmissionQueueId, completion.CommandId, completion.StatusAndPhase));
    }

    [Theory]
    [InlineData(NvmeStatus.LbaOutOfRange | NvmeStatus.DoNotRetry, 0x8100)]
    [InlineData(NvmeStatus.CompareFailure | NvmeStatus.DoNotRetry, 0x850a)]
    [InlineData(NvmeStatus.InvalidQueueId | NvmeStatus.DoNotRetry, 0x8202)]
    [InlineData(NvmeStatus.DataTransferError, 0x0008)]
    public void Status_InTheCompletion_StandsOneBitUp(NvmeStatus status, int word)
    {
        Assert.Equal(word, ((int)status << NvmeCompletion.StatusShift) & 0xffff);
        Assert.Equal(status, new NvmeCompletion { StatusAndPhase = (ushort)(word | 1) }.Status);
    }

    [Theory]
    [InlineData(NvmeStatus.Success, false)]
    [InlineData(NvmeStatus.DataTransferError, false)]
    [InlineData(NvmeStatus.InternalError, false)]
    [InlineData(NvmeStatus.CommandInterrupted, false)]
    [InlineData(NvmeStatus.NamespaceNotReady, false)]
    [InlineData(NvmeStatus.WriteFault, false)]
    [InlineData(NvmeStatus.UnrecoveredReadError, false)]
    [InlineData(NvmeStatus.InvalidOpcode, true)]
    [InlineData(NvmeStatus.LbaOutOfRange, true)]
    [InlineData(NvmeStatus.CompareFailure, true)]
    [InlineData(NvmeStatus.NamespaceWriteProtected, true)]
    [InlineData(NvmeStatus.InvalidLogPage, true)]
    public void Retry_OfAFailure_IsRefusedWhereItWouldFailAgain(NvmeStatus status, bool refused) =>
        Assert.Equal(refused ? (ushort)status | 0x4000 : (ushort)status, (int)NvmeRetry.Mark(status));

    [Fact]
    public void Registers_AsBitFields_AreThoseOfKnownControllers()
    {
        var capabilities = new NvmeCapabilities
        {
            MaxQueueEntries = 1024, ContiguousQueuesRequired = true, Timeout = 30, NvmCommandSet = true,
        };
        Assert.Equal(0x0000_0020_1e01_03fful, capabilities.Value);
        Assert.Equal(256, new NvmeCapabilities(0x0800_0020_1e01_00ff).MaxQueueEntries);
        Assert.Equal((30u, true, 0, 0), (capabilities.Timeout, capabilities.NvmCommandSet, capabilities.DoorbellStride, capabilities.MinimumPageShift));

        var configuration = new NvmeConfiguration(0x00464001);
        Assert.Equal((true, NvmeShutdown.Normal, 6, 4, 0), (configuration.Enabled, configuration.Shutdown, configuration.SubmissionEntryShift, configuration.CompletionEntryShift, configuration.PageShift));
        Assert.Equal(0x00464001u, new NvmeConfiguration { Enabled = true, Shutdown = NvmeShutdown.Normal, SubmissionEntryShift = 6, CompletionEntryShift = 4 }.Value);

        Assert.Equal(0x9u, new NvmeControllerStatus { Ready = true, ShutdownStatus = NvmeShutdownStatus.Complete }.Value);
        Assert.Equal(0x2u, new NvmeControllerStatus { Fatal = true }.Value);
        Assert.Equal((256, 256), (new NvmeAdminQueueAttributes(0x00ff00ff).SubmissionEntries, new NvmeAdminQueueAttributes(0x00ff00ff).CompletionEntries));
        Assert.Equal(0x00ff001fu, new NvmeAdminQueueAttributes { SubmissionEntries = 32, CompletionEntries = 256 }.Value);
    }

    [Fact]
    public void RegisterOffsets_AreThoseOfTheSpecification() => Assert.Equal(
        [0x00, 0x08, 0x0c, 0x10, 0x14, 0x1c, 0x20, 0x24, 0x28, 0x30, 0x38, 0x3c, 0x68, 0x1000],
        new[]
        {
            NvmeRegisters.Capabilities, NvmeRegisters.Version, NvmeRegisters.InterruptMaskSet, NvmeRegisters.InterruptMaskClear,
            NvmeRegisters.Configuration, NvmeRegisters.Status, NvmeRegisters.SubsystemReset, NvmeRegisters.AdminQueueAttributes,
            NvmeRegisters.AdminSubmissionQueue, NvmeRegisters.AdminCompletionQueue, NvmeRegisters.MemoryBufferLocation,
            NvmeRegisters.MemoryBufferSize, NvmeRegisters.ReadyTimeouts, NvmeRegisters.Doorbells,
        });
}
