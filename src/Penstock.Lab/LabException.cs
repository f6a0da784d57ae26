namespace Penstock.Lab;

/// <summary>
/// The lab cannot do what it was asked for. The message names the thing, the reason and what to do about it.
/// </summary>
public sealed class LabException : Exception
{
    /// <summary>Makes an exception with the text that a person is to read.</summary>
    /// <param name="message">The thing, the reason and the remedy.</param>
    public LabException(string message)
        : base(message)
    {
    }

    /// <summary>Makes an exception with the text that a person is to read and what led to it.</summary>
    /// <param name="message">The thing, the reason and the remedy.</param>
    /// <param name="innerException">What led to it.</param>
    public LabException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
