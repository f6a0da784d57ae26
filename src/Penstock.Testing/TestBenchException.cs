namespace Penstock.Testing;

/// <summary>What the test bench saw is not what a test may pass with; the text says what and where. Test frameworks report it as a failure.</summary>
public sealed class TestBenchException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What was seen.</param>
    public TestBenchException(string message)
        : base(message)
    {
    }
}
