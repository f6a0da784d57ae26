using Penstock.Interop;

namespace Penstock.Vfio.Tests;

/// <summary>A reset of the function ends what its port had begun.</summary>
public sealed class CanceledTransferTests
{
    private const int Page = 4096;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Reset_BetweenTwoPieces_TheSecondIsNotTouched(bool awaited)
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        ProcessMemory memory = rig.Memory(Page);
        var channel = new FakeChannel(0, Page);
        var messages = new MessageMemory(channel, 0, Page);
        container.MapDma(0, Page, DmaAccess.ReadWrite, messages, 0);
        container.MapDma(Page, Page, DmaAccess.ReadWrite, memory, 0);
        channel.BeforeAnswer = rig.Port.CancelTransfers;
        byte[] ones = new byte[2 * Page];
        Array.Fill(ones, (byte)1);
        Assert.Equal(Errno.ECANCELED, awaited ? await rig.Port.WriteAsync(0, ones) : rig.Port.Write(0, ones));
        Assert.Equal(1, channel.Bytes[^1]);
        Assert.False(memory.Span(0, Page).ContainsAnyExcept((byte)0));

        channel.BeforeAnswer = null;
        Assert.Equal(Errno.None, awaited ? await rig.Port.WriteAsync(0, ones) : rig.Port.Write(0, ones));
        Assert.False(memory.Span(0, Page).ContainsAnyExcept((byte)1));
        group.Dispose();
        container.Dispose();
        messages.Release();
        memory.Release();
    }

    [Fact]
    public async Task Reset_WhileSuspended_WhatWaitsEndsAndLaterOnesGoOnWaiting()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        ProcessMemory memory = rig.Memory(Page);
        container.MapDma(0, Page, DmaAccess.ReadWrite, memory, 0);
        rig.Port.Suspend();
        Task<Errno> before = rig.Port.WriteAsync(0, (byte[])[1]).AsTask();
        rig.Port.CancelTransfers();
        Assert.Equal(Errno.ECANCELED, await before.WaitAsync(TimeSpan.FromMinutes(1)));
        Task<Errno> after = rig.Port.WriteAsync(1, (byte[])[2]).AsTask();
        Assert.False(after.IsCompleted);
        Assert.Equal((byte[])[0, 0], memory.Span(0, 2).ToArray());
        rig.Port.Resume();
        Assert.Equal(Errno.None, await after.WaitAsync(TimeSpan.FromMinutes(1)));
        Assert.Equal((byte[])[0, 2], memory.Span(0, 2).ToArray());
        group.Dispose();
        container.Dispose();
        memory.Release();
    }
}
