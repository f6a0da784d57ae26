using System.Diagnostics;
using System.Globalization;
using Penstock.Interop;
using Xunit.Abstractions;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>
/// Client processes that are killed (SIGKILL) at random moments while DMA, maps and interrupts are under way; after each a fresh client works.
/// <c>PENSTOCK_KILL_ROUNDS</c> sets another number than 20.
/// </summary>
public sealed class KilledClientTests(ITestOutputHelper output)
{
    private const int DefaultRounds = 20;
    private const int LatestKill = 40;

    [Fact]
    public void Client_KilledAtRandomMoments_LeavesNothingAndTheNextOneWorks()
    {
        int rounds = int.Parse(Environment.GetEnvironmentVariable("PENSTOCK_KILL_ROUNDS") ?? $"{DefaultRounds}", CultureInfo.InvariantCulture);
        var random = new Random(9);
        var function = new BusyFunction();

        // A busy machine may let a client wait between connecting and speaking.
        using var served = new ServedFunction(new VfioUserServerOptions { PeerTimeout = TimeSpan.FromMinutes(1) }, function: function);
        long working = 0;
        Process next = Start(served.Path);
        for (int round = 0; round < rounds; round++)
        {
            using Process client = next;
            next = Start(served.Path);
            long before = function.Transfers;
            client.StandardInput.WriteLine();
            string? said = client.StandardOutput.ReadLine();
            Assert.True(said == "under way", $"the client ended by itself in round {round}: {(said is null ? client.StandardError.ReadToEnd() : said)}");
            Thread.Sleep(random.Next(LatestKill));
            client.Kill();
            Assert.Contains(served.NextEnd().Kind, new[] { SessionEndKind.ClientClosed, SessionEndKind.ClientVanished });
            client.WaitForExit();
            served.AssertBalanced();
            working += function.Transfers - before;
            AssertNextWorks(served, function);
            served.NextEnd();
            served.AssertBalanced();
        }

        next.Kill();
        next.Dispose();
        output.WriteLine($"{rounds} clients killed, {working} transfers of theirs were done");
        Assert.True(working > rounds);
    }

    private static void AssertNextWorks(ServedFunction served, BusyFunction function)
    {
        using WireClient client = served.ConnectEnabled();
        using MemoryFile memory = Handles.Memory(4096, fill: 0x77);
        EventDescriptor[] events = Handles.Events(8);
        client.Succeed(Cmd.SetIrqs, WireClient.Irqs(4 | 32, 2, 0, 8), events.Numbers());
        client.Succeed(Cmd.DmaMap, WireClient.Map(3 << 12, 4096), memory.Number());
        long failed = function.Failed;
        client.Write(0, 8, 3);
        Handles.Await(() => events[3].Drain() != 0, "the interrupt of the transfer");
        Assert.Equal(failed, function.Failed);
        Assert.Equal([0, 0, 0x77], [.. memory.Content(0, 2), .. memory.Content(256, 1)]);
        events.DisposeAll();
    }

    private static Process Start(string path)
    {
        var start = new ProcessStartInfo("dotnet", ["exec", typeof(LoadClient).Assembly.Location, path])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        return Process.Start(start)!;
    }
}
