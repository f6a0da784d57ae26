using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;

namespace Penstock.Cli.Demo;

/// <summary>Shows each step of a demonstration as it is done, and counts what was verified.</summary>
internal sealed class DemoReport(Output output)
{
    private readonly long _start = Stopwatch.GetTimestamp();
    private int _steps;

    public Output Output => output;

    public void Title(string text) => output.Line($"{text}\n");

    /// <summary>A step that was verified.</summary>
    public void Done(string step, string what)
    {
        _steps++;
        output.Line($"  {step,-11} {what}");
        output.Object(new JsonObject { ["step"] = step, ["ok"] = true, ["what"] = what });
    }

    /// <summary>A line of somebody else's, shown as it is.</summary>
    public void Quote(string line)
    {
        output.Line($"  {"",-11} | {line}");
        output.Object(new JsonObject { ["quote"] = line });
    }

    public static void Verify(bool condition, string what)
    {
        if (!condition)
        {
            throw new DemoFailure(what);
        }
    }

    /// <summary>Runs a demonstration and says how it ended. What no demonstration expects is thrown on; a program has its last line then too.</summary>
    public async Task<int> RunAsync(Func<Task> demonstration)
    {
        try
        {
            await demonstration();
            double seconds = Math.Round(Stopwatch.GetElapsedTime(_start).TotalSeconds, 1);
            output.Line(string.Create(CultureInfo.InvariantCulture, $"\n{_steps} steps verified in {seconds:F1} s."));
            output.Object(new JsonObject { ["event"] = "done", ["steps"] = _steps, ["seconds"] = seconds, ["ok"] = true });
            return ExitStatus.Done;
        }
        catch (DemoFailure failure)
        {
            output.Note($"penstock demo: NOT as it should be: {failure.Message}");
            Failed(failure.Message);
            return ExitStatus.Failed;
        }
        catch (OperationCanceledException)
        {
            Failed("interrupted");
            throw;
        }
        catch (Exception e)
        {
            Failed(e.Message);
            throw;
        }
    }

    private void Failed(string what) => output.Object(new JsonObject { ["event"] = "failed", ["ok"] = false, ["what"] = what });
}
