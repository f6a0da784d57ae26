using Penstock.Lab;

namespace Penstock.Cli.Demo;

/// <summary>Progress of the lab as lines on standard error: each step once, downloads in tenths.</summary>
internal sealed class LabNotes(Output output) : IProgress<LabProgress>
{
    private readonly Lock _gate = new();
    private string _step = "";
    private long _tenth;

    public void Report(LabProgress value)
    {
        lock (_gate)
        {
            long tenth = value is { DoneBytes: long done, TotalBytes: > 0 and long total } ? done * 10 / total : -1;
            if (value.Step == _step && tenth == _tenth)
            {
                return;
            }

            (_step, _tenth) = (value.Step, tenth);
            output.Note(value.ToString());
        }
    }
}
