namespace Penstock.Interop;

/// <summary>Lines for people. A sink that fails (a full disk behind standard error) must not end whoever logs.</summary>
public static class LogSink
{
    /// <summary>Wraps a sink so that it never throws: after its first failure it is left alone.</summary>
    /// <param name="sink">The sink, or null.</param>
    /// <returns>A sink that may be called anywhere; null for null.</returns>
    public static Action<string>? Contain(Action<string>? sink)
    {
        if (sink is null || sink.Target is Contained)
        {
            return sink;
        }

        return new Contained(sink).Write;
    }

    private sealed class Contained(Action<string> sink)
    {
        private volatile bool _failed;

        public void Write(string line)
        {
            if (_failed)
            {
                return;
            }

            try
            {
                sink(line);
            }
            catch (Exception)
            {
                // There is nowhere left to say so.
                _failed = true;
            }
        }
    }
}
