using Penstock.Lab;

namespace Penstock.Tests;

/// <summary>How a guest of a test has ended.</summary>
internal static class GuestEnds
{
    private const int Newest = 8;

    /// <summary>The script has succeeded; otherwise the failure's text has what QEMU and the guest said last.</summary>
    public static void AssertSuccess(this GuestResult result)
    {
        string newest = string.Join('\n', result.Console.Split('\n', StringSplitOptions.RemoveEmptyEntries).TakeLast(Newest));
        string status = result.ExitStatus?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "none";
        Assert.True(
            result.ExitStatus == 0,
            $"the script's status: {status}; {(result.TimedOut ? "killed" : "ended")} after {result.Elapsed.TotalSeconds:F1} s; QEMU: {result.QemuErrors ?? "nothing"}; the console's end:\n{newest}");
    }
}
