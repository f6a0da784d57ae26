using System.Diagnostics;
using Penstock.Specs.Nvme;
using Penstock.VfioUser;

namespace Penstock.Cli.Tests;

/// <summary>A disk that nobody uses at the moment costs its server next to nothing, whichever doorbells its host uses.</summary>
public sealed class NvmeIdleTests
{
    private const int Commands = 200;
    private const int Looks = 8;

    // Processor time, not elapsed time: what else the machine does is not in it.
    private static readonly TimeSpan Look = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Most = Look / 100;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Server_WhileTheDiskIsLeftAlone_TakesLessThanAHundredthOfAProcessor(bool shadow)
    {
        using var folder = new TemporaryFolder();
        using var user = new NvmeUser();
        using ToolProcess tool = ToolProcess.Penstock("serve", "nvme", "--socket", folder.File("disk"), "--size", "2M");
        await tool.LineAsync("Ctrl-C ends");
        using VfioUserClient client = user.Connect(folder.File("disk"));
        user.Client = client;
        user.Enable();
        for (int i = 0; i < Commands; i++)
        {
            user.Submit(1, new NvmeCommand { Opcode = (byte)NvmeIoOpcode.Read, NamespaceId = 1, Prp1 = NvmeUser.Data });
            NvmeCompletion completion = default;
            Assert.True(SpinWait.SpinUntil(() => user.TryTake(1, out completion), ToolProcess.Patience), "a read is not completed");
            Assert.Equal(NvmeStatus.Success, completion.Status);
        }

        if (shadow)
        {
            user.Admin(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DoorbellBufferConfig, Prp1 = NvmeUser.Data, Prp2 = NvmeUser.Data + NvmeUser.Page });
        }

        // The first looks may still have the compiler's work in them.
        using Process server = Process.GetProcessById(tool.Id);
        TimeSpan least = TimeSpan.MaxValue;
        for (int i = 0; i < Looks && least >= Most; i++)
        {
            server.Refresh();
            TimeSpan before = server.TotalProcessorTime;
            await Task.Delay(Look);
            server.Refresh();
            TimeSpan took = server.TotalProcessorTime - before;
            least = took < least ? took : least;
        }

        Assert.InRange(least, TimeSpan.Zero, Most - TimeSpan.FromTicks(1));
    }
}
