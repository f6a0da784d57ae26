using System.Text.Json;
using Penstock.Interop;

namespace Penstock.Cli.Tests;

/// <summary><c>penstock serve edu</c>: what a person who serves it is told, and its options.</summary>
public sealed class ServeEduTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly MemoryFile _memory = MemoryFile.Create("guest", EduUser.MemorySize);

    private string Socket => _folder.File("edu.sock");

    public void Dispose()
    {
        _memory.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task TransferThatFails_IsANotice_AndGetCounts()
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "edu", "--socket", Socket, "--json");
        Assert.Equal("1234:11e8", (await tool.EventAsync("serving")).GetProperty("ids").GetString());
        using var user = new EduUser(Socket, _memory);
        user.StartTransfer(EduUser.Iova, EduUser.Buffer, toMemory: false);
        user.Settle();
        user.StartTransfer(EduUser.Buffer, 0x1000, toMemory: true, count: 16);
        JsonElement notice = await tool.EventAsync("notice");
        Assert.Equal("DMA of 16 bytes from 0x40000 to memory at 0x1000 failed: nothing is mapped there", notice.GetProperty("text").GetString());
        await tool.SendAsync("get");
        string text = (await tool.EventAsync("reply")).GetProperty("text").GetString()!;
        Assert.Contains("transfers  1, 4096 bytes", text, StringComparison.Ordinal);
        Assert.Contains("failed     1, the last: DMA of 16 bytes", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("28", true)]
    [InlineData("40", false)]
    public async Task DmaMask_DecidesWhetherHighMemoryIsReached(string bits, bool cut)
    {
        const ulong High = 0x80_0000_0000;
        using ToolProcess tool = ToolProcess.Penstock("serve", "--socket", Socket, "edu", "--dma-mask", bits);
        await tool.LineAsync("Ctrl-C ends");
        using var user = new EduUser(Socket, _memory);
        user.Client.MapDma(High, EduUser.PageSize, Penstock.Vfio.DmaAccess.ReadWrite, _memory, EduUser.PageSize);
        byte[] page = [.. Enumerable.Repeat((byte)7, EduUser.PageSize)];
        Assert.Equal(Errno.None, DescriptorIO.WriteAt(_memory.Descriptor.Value, EduUser.PageSize, page, out _));
        user.StartTransfer(High, EduUser.Buffer, toMemory: false);
        user.Settle();
        Assert.Equal(cut ? new byte[EduUser.PageSize] : page, user.Look().Buffer);
        if (cut)
        {
            Assert.Contains("has bits that the device does not have; it uses 0x0", await tool.LineAsync("address 0x8000000000"), StringComparison.Ordinal);
        }
    }
}
