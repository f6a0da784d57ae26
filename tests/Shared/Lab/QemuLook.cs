using System.Text.RegularExpressions;
using Penstock.Lab;
using Xunit.Sdk;

namespace Penstock.Tests;

/// <summary>What QEMU knows of a guest that says nothing: whether it runs, halts, spins or stands.</summary>
internal static partial class QemuLook
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    /// <summary>
    /// Two lines: QEMU's state and each processor's program counter, and the counters again a moment later. It is for texts of failures, so it
    /// never throws: when QEMU does not answer, that is what it says.
    /// </summary>
    /// <param name="guest">The guest.</param>
    /// <param name="patience">How long QEMU may take; null: some seconds.</param>
    public static async Task<string> AtAsync(Guest guest, TimeSpan? patience = null)
    {
        TimeSpan time = patience ?? Patience;
        try
        {
            using var limit = new CancellationTokenSource(time);
            string status = await AskAsync(guest, "info status", limit.Token);
            string before = await CountersAsync(guest, limit.Token);
            await Task.Delay(Pause, limit.Token);
            return $"QEMU: {status.Trim()}; {before}\nsoon after: {await CountersAsync(guest, limit.Token)}";
        }
        catch (OperationCanceledException)
        {
            return $"QEMU does not answer within {time.TotalSeconds} s";
        }
        catch (Exception e)
        {
            return $"QEMU cannot be asked: {e.Message}";
        }
    }

    /// <summary>Waits for a console line, as the guest itself does; in the text of a failure is what QEMU knows.</summary>
    /// <param name="guest">The guest.</param>
    /// <param name="text">What the line must contain.</param>
    /// <param name="time">How long to wait at most.</param>
    public static async Task<string> ShowsAsync(this Guest guest, string text, TimeSpan time)
    {
        try
        {
            return await guest.WaitForLineAsync(text, time);
        }
        catch (LabException e)
        {
            throw new XunitException($"{await AtAsync(guest)}\n{e.Message}");
        }
    }

    private static async Task<string> CountersAsync(Guest guest, CancellationToken cancellation)
    {
        string registers = await AskAsync(guest, "info registers -a", cancellation);
        return string.Join(" | ", Counter().Matches(registers).Select(static m => Blanks().Replace(m.Value.Trim(), " ")));
    }

    private static async Task<string> AskAsync(Guest guest, string command, CancellationToken cancellation) =>
        (await guest.QmpAsync($$$"""{"execute":"human-monitor-command","arguments":{"command-line":"{{{command}}}"}}""", cancellation)).GetString() ?? "";

    // The line with the program counter: x86 in its three modes, s390x, POWER.
    [GeneratedRegex(@"^([RE]?IP=|PSW=|NIP ).*$", RegexOptions.Multiline)]
    private static partial Regex Counter();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Blanks();
}
