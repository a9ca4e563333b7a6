"""Google's Gemini, at the Gemini API and on Vertex AI; Claude on Vertex. Source: google-genai's types and Google's documentation."""
